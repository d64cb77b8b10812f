// Prompts as files, to the browser's disk and back.
import { answer, api } from '@/api/client'
import { download } from '@/api/download'
import type { components } from '@/api/schema'

type Schemas = components['schemas']
export type PromptFile = Schemas['PromptFile']
export type Imported = Schemas['ImportedPrompts']
export const onConflicts = ['skip', 'append', 'copy'] as const
export type OnConflict = (typeof onConflicts)[number]

/** Has the browser fetch one prompt, or all of them. Throws a `Problem`. */
export async function exportPrompts(id?: string): Promise<void> {
  const address = new URL('/api/v1/prompts/export', location.origin)
  if (id) address.searchParams.set('id', id)
  await download(address)
}

/** What is in a file, or null when it is no JSON. What it means is the server's to say. */
export async function fileOf(file: Blob): Promise<PromptFile | null> {
  try {
    return JSON.parse(await file.text()) as PromptFile
  } catch {
    return null
  }
}

/** Importing twice changes nothing the second time: it needs no key. */
export const importPrompts = (body: PromptFile, on_conflict: OnConflict, dry_run: boolean): Promise<Imported> =>
  answer(api.POST('/api/v1/prompts/import', { params: { query: { on_conflict, dry_run } }, body }))
