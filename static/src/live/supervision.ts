// The tree and the books' balance, wherever they are shown: what is pushed goes into the queries that ask for them.
import { useQueryClient } from '@tanstack/vue-query'
import { onNews } from './push'

export function followSupervision(when?: () => boolean): void {
  const queries = useQueryClient()
  onNews('supervision', {
    when,
    news: ({ tree, ledger }) => {
      queries.setQueryData(['supervision', 'tree'], tree)
      queries.setQueryData(['supervision', 'ledger'], ledger)
    },
    gap: () => void queries.invalidateQueries({ queryKey: ['supervision'] }),
  })
}
