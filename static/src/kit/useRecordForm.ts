// The form of a record, of a new one or of one that is there: opened with what is saved, sent with what differs, and where
// somebody else saved first (`useEdit`) asked once more. `RecordDialog` draws what is around its fields.
import { computed, type Ref, ref, shallowRef } from 'vue'
import { Problem } from '@/api/problem'
import { toast } from './toast'
import type { useEdit } from './useEdit'
import { useDirty } from './useUnsaved'

export function useRecordForm<T extends { id: string }, D, C, M>(work: {
  empty: () => D
  draftOf: (record: T) => D
  /** What is sent of a draft that began as `before`. */
  changes: (before: D, after: D) => C
  edit: (id: () => string) => ReturnType<typeof useEdit<T, C>>
  create: (draft: D) => Promise<M>
  /** The form is closed; `made` is the new record. */
  saved: (draft: D, made?: M) => unknown
}) {
  /** The record that is edited; null: a new one. */
  const current = shallowRef<T | null>(null)
  const open = ref(false)
  const draft = ref(work.empty()) as Ref<D>
  const refused = shallowRef<Problem | null>(null)
  const creating = ref(false)
  const edit = work.edit(() => current.value?.id ?? '')
  const problem = computed(() => edit.problem.value ?? refused.value)

  function startNew() {
    current.value = null
    refused.value = edit.problem.value = null
    draft.value = work.empty()
    open.value = true
  }
  async function startEdit(record: T) {
    current.value = record
    refused.value = null
    const loaded = await edit.load()
    if (!loaded) return void (edit.problem.value && toast.failed(edit.problem.value))
    draft.value = work.draftOf(loaded)
    open.value = true
  }
  async function create() {
    creating.value = true
    try {
      const made = await work.create(draft.value)
      open.value = false
      work.saved(draft.value, made)
    } catch (cause) {
      refused.value = Problem.from(cause)
    } finally {
      creating.value = false
    }
  }
  async function save() {
    refused.value = null
    if (current.value === null) return create()
    const shown = edit.base.value
    if (!shown || !(await edit.save(work.changes(work.draftOf(shown.data), draft.value)))) return
    open.value = false
    edit.theirs.value = null
    work.saved(draft.value)
  }
  function takeTheirs() {
    const theirs = edit.takeTheirs()
    if (theirs) draft.value = work.draftOf(theirs)
  }
  return {
    current,
    open,
    draft,
    problem,
    /** What the server says of a field. */
    wrong: (field: string) => problem.value?.field(field),
    busy: computed(() => edit.busy.value || creating.value),
    isDirty: useDirty(
      () => draft.value,
      () => open.value,
    ),
    startNew,
    startEdit,
    close: () => void (open.value = false),
    save,
    takeTheirs,
    /** What was opened, and what somebody else made of it meanwhile. */
    before: computed<unknown>(() => edit.base.value?.data),
    theirs: computed<unknown>(() => edit.theirs.value?.data),
    /** Closing the question answers nothing: what was typed stays, and saving asks again. */
    backToForm: () => void (edit.theirs.value = null),
  }
}
/** What `RecordDialog` needs of it, whatever the record. */
export interface RecordForm {
  open: Readonly<Ref<boolean>>
  isDirty: Readonly<Ref<boolean>>
  busy: Readonly<Ref<boolean>>
  before: Readonly<Ref<unknown>>
  theirs: Readonly<Ref<unknown>>
  close: () => void
  save: () => unknown
  takeTheirs: () => void
  backToForm: () => void
}
