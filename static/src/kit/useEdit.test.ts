import { describe, expect, it } from 'vitest'
import { Problem } from '@/api/problem'
import { useEdit } from './useEdit'

/** A record at a server that honours If-Match. */
function server() {
  let version = 1
  let name = 'first'
  const refuse = (status: number) =>
    new Problem(status, status === 412 ? 'precondition_failed' : 'invalid', '', '', null)
  return {
    get name() {
      return name
    },
    somebodyElseSaves(other: string) {
      name = other
      version += 1
    },
    edit: useEdit<{ name: string }, { name: string }>({
      fetch: async () => ({ data: { name }, etag: `"${version}"` }),
      save: async (changes, etag) => {
        if (etag !== `"${version}"`) throw refuse(412)
        if (changes.name === '') throw refuse(422)
        name = changes.name
        version += 1
      },
    }),
  }
}

describe('editing what others edit too', () => {
  it('saves against what was shown', async () => {
    const it = server()
    await it.edit.load()
    expect(await it.edit.save({ name: 'mine' })).toBe(true)
    expect(it.name).toBe('mine')
  })

  it('takes an answer that comes late for nothing: it is another record', async () => {
    const waits: ((found: { data: string; etag: string }) => void)[] = []
    const edit = useEdit<string, string>({
      fetch: () => new Promise((found) => waits.push(found)),
      save: async () => {},
    })
    const [first, second] = [edit.load(), edit.load()]
    waits[1]!({ data: 'second', etag: '"2"' })
    waits[0]!({ data: 'first', etag: '"1"' })
    expect(await Promise.all([first, second])).toEqual([null, 'second'])
    expect([edit.base.value?.data, edit.problem.value]).toEqual(['second', null])
  })

  it('overwrites nothing unseen: shows theirs, then saves against it', async () => {
    const it = server()
    await it.edit.load()
    it.somebodyElseSaves('theirs')
    expect(await it.edit.save({ name: 'mine' })).toBe(false)
    expect(it.name).toBe('theirs')
    expect(it.edit.theirs.value?.data.name).toBe('theirs')
    expect(await it.edit.save({ name: 'mine' })).toBe(true)
    expect(it.name).toBe('mine')
  })

  it('can give way', async () => {
    const it = server()
    await it.edit.load()
    it.somebodyElseSaves('theirs')
    await it.edit.save({ name: 'mine' })
    expect(it.edit.takeTheirs()).toEqual({ name: 'theirs' })
    expect(it.edit.conflict.value).toBe(false)
  })

  it('keeps other refusals as problems', async () => {
    const it = server()
    await it.edit.load()
    expect(await it.edit.save({ name: '' })).toBe(false)
    expect(it.edit.problem.value?.status).toBe(422)
    expect(it.edit.conflict.value).toBe(false)
  })

  it('saves against the record that was asked for last, whichever answer came last', async () => {
    const answers: ((name: string) => void)[] = []
    const edit = useEdit<{ name: string }, object>({
      fetch: () => new Promise((go) => answers.push((name) => go({ data: { name }, etag: `"${name}"` }))),
      save: async () => undefined,
    })
    const [first, second] = [edit.load(), edit.load()]
    answers[1]!('second')
    await second
    answers[0]!('first')
    await first
    expect(edit.base.value?.etag).toBe('"second"')
  })
})
