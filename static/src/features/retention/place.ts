// What the form holds of where archived months go, and the request it becomes. Pure.
import type { components } from '@/api/schema'
import { type PlaceDraft, placeDraft, placeTyped } from '@/depot/place'

type Schemas = components['schemas']
export type PlaceState = Schemas['ArchivePlaceState']
export type PlaceChanges = Schemas['ArchivePlaceChanges']

/** `directory` is the kind of the one that the configuration names. */
export const archiveDraft = ({ place }: PlaceState): PlaceDraft => placeDraft(place, 'directory')

/** Nothing: new months go to the directory. */
export const archiveChanges = (draft: PlaceDraft): PlaceChanges | null =>
  draft.kind === 'directory' ? null : placeTyped(draft)
