// Typed and not saved: leaving the page, going Back within it and closing the tab ask first.
import { computed, onScopeDispose, ref, watch } from 'vue'
import { useRouter } from 'vue-router'
import { useShellText } from '@/i18n'

/** Whether what a form holds is another than what it was opened with. */
export function useDirty(form: () => unknown, isOpen: () => boolean = () => true) {
  const told = () => JSON.stringify(form())
  const begun = ref(told())
  watch(isOpen, (now) => now && (begun.value = told()))
  return computed(() => isOpen() && told() !== begun.value)
}

export function useUnsaved(isDirty: () => boolean, ask: (question: string) => boolean = (text) => confirm(text)) {
  const t = useShellText()
  const router = useRouter()
  /** Asked only where there is something to lose. */
  const mayLeave = () => !isDirty() || ask(t('unsaved'))
  const beforeUnload = (event: BeforeUnloadEvent) => {
    if (isDirty()) event.preventDefault()
  }
  addEventListener('beforeunload', beforeUnload)
  onScopeDispose(() => removeEventListener('beforeunload', beforeUnload))
  // Within the page Back may lead to another record or to before the form. What the page itself says in its address, such
  // as that the form is done with, is another matter.
  let isBack = false
  onScopeDispose(router.options.history.listen(() => (isBack = true)))
  // One that another guard held is over too.
  onScopeDispose(router.afterEach(() => void (isBack = false)))
  onScopeDispose(
    router.beforeEach((to, from) => {
      const leads = isBack || to.matched.at(-1) !== from.matched.at(-1)
      isBack = false
      return !leads || mayLeave()
    }),
  )
  return mayLeave
}
