// What a setting is called: in the operator's words where there are some, else by its key.
import { useText } from './messages'

const named = [
  'prices_currency',
  'prices_usd_cny',
  'gateway_connect_timeout_ms',
  'gateway_first_byte_timeout_ms',
  'gateway_idle_timeout_ms',
  'gateway_max_attempts',
  'ledger_queue_capacity',
  'ledger_batch_size',
  'ledger_flush_interval_ms',
  'stats_aggregation_interval_s',
  'conversations_enabled',
  'conversations_max_bytes_per_side',
  'conversations_compress_after_days',
  'api_rate_limit_per_operator',
  'api_rate_limit_per_address',
  'alerts_interval_ms',
  'alerts_group_window_s',
  'alerts_mails_per_hour',
  'feedback_per_minute',
  'log_stored_level',
  'retention_request_logs_days',
  'retention_contents_days',
  'retention_system_logs_days',
  'retention_health_checks_days',
  'retention_metrics_snapshots_days',
  'retention_deliveries_days',
  'retention_alerts_days',
  'archive_enabled',
  'archive_after_days',
] as const
const grouped = [
  'prices',
  'gateway',
  'ledger',
  'stats',
  'conversations',
  'api',
  'alerts',
  'feedback',
  'log',
  'retention',
  'archive',
  'scheduler',
  'rag',
] as const

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
