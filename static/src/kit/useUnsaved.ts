// Typed and not saved: leaving the page or closing the tab asks first.
import { onScopeDispose } from 'vue'
import { onBeforeRouteLeave } from 'vue-router'
import { useShellText } from '@/i18n'

export function useUnsaved(isDirty: () => boolean, ask: (question: string) => boolean = (text) => confirm(text)) {
  const t = useShellText()
  const beforeUnload = (event: BeforeUnloadEvent) => {
    if (isDirty()) event.preventDefault()
  }
  addEventListener('beforeunload', beforeUnload)
  onScopeDispose(() => removeEventListener('beforeunload', beforeUnload))
  onBeforeRouteLeave(() => !isDirty() || ask(t('unsaved')))
}
