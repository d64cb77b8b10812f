// What the form holds of where archived months go, and the request it becomes. Pure.
import type { components } from '@/api/schema'

type Schemas = components['schemas']
export type PlaceState = Schemas['ArchivePlaceState']
export type PlaceChanges = Schemas['ArchivePlaceChanges']

const ofFolder = ['path'] as const
const ofBucket = ['endpoint', 'region', 'bucket', 'prefix', 'access_key', 'secret_key'] as const
type Field = (typeof ofFolder)[number] | (typeof ofBucket)[number]
export const placeFields = [...ofFolder, ...ofBucket, 'kind']

/** `directory` is the one that the configuration names. */
export type PlaceDraft = Record<Field, string> & { kind: string }

/** The place is shown as a whole, so the form begins with a folder's path and without a bucket's parts. */
export function placeDraft({ place }: PlaceState): PlaceDraft {
  return {
    kind: place?.kind ?? 'directory',
    path: place?.kind === 'folder' ? place.place : '',
    endpoint: '',
    region: '',
    bucket: '',
    prefix: '',
    access_key: '',
    secret_key: '',
  }
}

/** Nothing: new months go to the directory. Of texts only those that were typed: the others stay as they are. */
export function placeChanges(draft: PlaceDraft): PlaceChanges | null {
  if (draft.kind === 'directory') return null
  const fields: readonly Field[] = draft.kind === 'folder' ? ofFolder : ofBucket
  const typed = fields.map((field) => [field, draft[field].trim()]).filter(([, value]) => value)
  return { kind: draft.kind, ...Object.fromEntries(typed) }
}
