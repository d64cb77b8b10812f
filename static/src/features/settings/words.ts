// What a setting is called: in the operator's words where there are some, else by its key.
import { useText } from './messages'

const named = [
  'prices_currency',
  'prices_usd_cny',
  'gateway_first_byte_timeout_ms',
  'gateway_idle_timeout_ms',
  'gateway_max_attempts',
  'ledger_batch_size',
  'ledger_flush_interval_ms',
  'stats_aggregation_interval_s',
  'conversations_enabled',
  'conversations_max_bytes_per_side',
  'conversations_compress_after_days',
  'api_rate_limit_per_operator',
  'api_rate_limit_per_address',
] as const
const grouped = ['prices', 'gateway', 'ledger', 'stats', 'conversations', 'api'] as const

export function useWords() {
  const t = useText()
  const nameOf = (key: string) => named.find((name) => name === key.replace('.', '_'))
  return {
    label(key: string): string {
      const name = nameOf(key)
      return name ? t(`of.${name}.label`) : key
    },
    explain(key: string): string {
      const name = nameOf(key)
      return name ? t(`of.${name}.explain`) : ''
    },
    section(name: string): string {
      const known = grouped.find((one) => one === name)
      return known ? t(`section.${known}`) : name
    },
  }
}
