// The form of a record: what is sent, what stays typed, and what somebody else saved first.
import { flushPromises } from '@vue/test-utils'
import { afterEach, expect, it, vi } from 'vitest'
import { defineComponent, h } from 'vue'
import { Problem } from '@/api/problem'
import { button, mounted, press, type } from '@/testing'
import RecordDialog from './RecordDialog.vue'
import TextField from './TextField.vue'
import { toast } from './toast'
import { useEdit } from './useEdit'
import { useRecordForm } from './useRecordForm'

interface Record {
  id: string
  name: string
  rpm: number
}
afterEach(() => {
  document.body.innerHTML = ''
  vi.restoreAllMocks()
})

/** A record at a server that honours If-Match and takes no empty name. */
async function page() {
  let [row, version]: [Record, number] = [{ id: 'one', name: 'billing', rpm: 60 }, 1]
  const sent: object[] = []
  const saved = vi.fn()
  const refuse = (status: number, code: string) =>
    new Problem(status, code, 'Refused', '', null, [{ field: 'name', message: 'must not be empty' }])
  let form!: ReturnType<typeof useRecordForm<Record, { name: string }, { name?: string }, Record>>
  const { wrapper } = await mounted(
    defineComponent({
      setup() {
        form = useRecordForm<Record, { name: string }, { name?: string }, Record>({
          empty: () => ({ name: '' }),
          draftOf: ({ name }) => ({ name }),
          changes: (before, after) => (before.name === after.name ? {} : { name: after.name }),
          edit: (id) =>
            useEdit<Record, { name?: string }>({
              async fetch() {
                if (id() !== row.id) throw refuse(404, 'not_found')
                return { data: row, etag: `"${version}"` }
              },
              async save(changes, etag) {
                sent.push(changes)
                if (etag !== `"${version}"`) throw refuse(412, 'precondition_failed')
                if (changes.name === '') throw refuse(422, 'validation_failed')
                row = { ...row, ...changes }
                version += 1
              },
            }),
          async create(draft) {
            if (draft.name === '') throw refuse(422, 'validation_failed')
            return { id: 'two', rpm: 1, ...draft }
          },
          saved,
        })
        return () =>
          h(RecordDialog, { form, title: 'A record' }, () =>
            h(TextField, {
              modelValue: form.draft.value.name,
              'onUpdate:modelValue': (name: string) => (form.draft.value = { name }),
              name: 'name',
              label: 'Name',
              error: form.wrong('name'),
            }),
          )
      },
    }),
  )
  const submit = async () => {
    document.querySelector('form')!.dispatchEvent(new Event('submit', { cancelable: true }))
    await flushPromises()
  }
  return {
    form,
    sent,
    saved,
    wrapper,
    submit,
    row: () => row,
    somebodyElseSaves(changes: Partial<Record>) {
      row = { ...row, ...changes }
      version += 1
    },
  }
}
const said = () => document.body.textContent!
const value = () => document.querySelector<HTMLInputElement>('[name=name]')?.value

it('makes a new record, and keeps what was typed when it is refused', async () => {
  const it = await page()
  it.form.startNew()
  await flushPromises()
  await it.submit()
  expect(said()).toContain('must not be empty')
  await type('name', 'reports')
  expect(it.form.isDirty.value).toBe(true)
  await it.submit()
  expect(it.saved).toHaveBeenCalledWith({ name: 'reports' }, { id: 'two', rpm: 1, name: 'reports' })
  expect(it.form.open.value).toBe(false)
  // The next one begins anew.
  it.form.startNew()
  await flushPromises()
  expect(value()).toBe('')
  expect(said()).not.toContain('must not be empty')
  it.wrapper.unmount()
})

it('sends only what differs, asks when somebody saved first, and takes either way on', async () => {
  const it = await page()
  await it.form.startEdit(it.row())
  await flushPromises()
  expect(value()).toBe('billing')
  await type('name', 'invoices')
  it.somebodyElseSaves({ rpm: 5 })
  await it.submit()
  expect(said()).toContain('Somebody else changed this meanwhile')
  expect(it.saved).not.toHaveBeenCalled()
  // Closing the question loses nothing, and saves nothing.
  it.form.backToForm()
  await flushPromises()
  expect([value(), it.form.open.value]).toEqual(['invoices', true])
  await it.submit()
  await press('Keep my changes')
  expect(it.row()).toEqual({ id: 'one', name: 'invoices', rpm: 5 })
  expect(it.sent).toEqual([{ name: 'invoices' }, { name: 'invoices' }, { name: 'invoices' }])
  expect(it.form.open.value).toBe(false)

  await it.form.startEdit(it.row())
  await flushPromises()
  await type('name', 'mine')
  it.somebodyElseSaves({ name: 'theirs' })
  await it.submit()
  await press('Load their version')
  expect(value()).toBe('theirs')
  it.wrapper.unmount()
})

it('does not open what cannot be read, and says why', async () => {
  const failed = vi.spyOn(toast, 'failed').mockImplementation(() => undefined)
  const it = await page()
  await it.form.startEdit({ id: 'gone', name: 'gone', rpm: 0 })
  expect(it.form.open.value).toBe(false)
  expect(failed.mock.calls[0]![0].status).toBe(404)
  expect(button('Save')).toBeUndefined()
  it.wrapper.unmount()
})
