import { describe, expect, it } from 'vitest'
import { archiveChanges, archiveDraft } from './place'

const state = (kind: string, place: string) => ({
  place: { kind, place, updated_at: '2026-03-15T18:30:00.000Z', version: 1 },
  directory: '/data/archive',
})

describe('where archived months go', () => {
  it('begins with the directory, a folder, or a bucket whose parts stay', () => {
    expect(archiveDraft({ place: null, directory: '/data/archive' }).kind).toBe('directory')
    expect(archiveDraft(state('folder', '/mnt/archive')).path).toBe('/mnt/archive')
    expect(archiveDraft(state('bucket', 'https://s3.example.com/b/'))).toMatchObject({ kind: 'bucket', bucket: '' })
  })

  it('asks for what was typed, and for nothing when the directory is meant', () => {
    const draft = { ...archiveDraft(state('bucket', 'https://s3.example.com/b/')), region: ' eu ', path: '/forgotten' }
    expect(archiveChanges(draft)).toEqual({ kind: 'bucket', region: 'eu' })
    expect(archiveChanges({ ...draft, kind: 'folder' })).toEqual({ kind: 'folder', path: '/forgotten' })
    expect(archiveChanges({ ...draft, kind: 'directory' })).toBeNull()
  })
})
