// Short notices. The library is loaded with the first one.
import type { Problem } from '@/api/problem'
import { useShellText } from '@/i18n'
import { sentenceOf } from '@/i18n/problems'

const load = () => import('vue-sonner')

export const toast = {
  done(message: string): void {
    void load().then(({ toast: show }) => show.success(message))
  },
  warned(message: string): void {
    void load().then(({ toast: show }) => show.warning(message, { duration: 8_000 }))
  },
  failed(problem: Problem): void {
    void load().then(({ toast: show }) =>
      show.error(sentenceOf(problem), {
        description: problem.requestId ? `${problem.code} · ${problem.requestId}` : problem.code,
        duration: 10_000,
      }),
    )
  },
  undo(message: string, undo: () => unknown): void {
    const t = useShellText()
    void load().then(({ toast: show }) =>
      show(message, { duration: 10_000, action: { label: t('act.undo'), onClick: () => void undo() } }),
    )
  },
}
