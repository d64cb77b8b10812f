// Where files are put away, as a form holds it: a folder, or a bucket whose keys may stay as they are. Pure.
const ofFolder = ['path'] as const
const ofBucket = ['endpoint', 'region', 'bucket', 'prefix', 'access_key', 'secret_key'] as const
type Field = (typeof ofFolder)[number] | (typeof ofBucket)[number]
export const placeFields: readonly Field[] = [...ofFolder, ...ofBucket]

export type PlaceDraft = Record<Field, string> & { kind: string }

/** The place is shown as a whole, so the form begins with a folder's path and without a bucket's parts. */
export const placeDraft = (shown: { kind: string; place: string } | null | undefined, kind: string): PlaceDraft => ({
  kind: shown?.kind ?? kind,
  path: shown?.kind === 'folder' ? shown.place : '',
  endpoint: '',
  region: '',
  bucket: '',
  prefix: '',
  access_key: '',
  secret_key: '',
})

/** Of texts only those that were typed: the others stay as they are. */
export function placeTyped(draft: PlaceDraft): { kind: string } & Partial<Record<Field, string>> {
  const fields: readonly Field[] = draft.kind === 'folder' ? ofFolder : ofBucket
  const typed = fields.map((field) => [field, draft[field].trim()]).filter(([, value]) => value)
  return { kind: draft.kind, ...Object.fromEntries(typed) }
}
