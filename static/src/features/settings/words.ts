// What a setting is called: in the operator's words where there are some, else by its key.
import { useText } from './messages'

type NameOf<Text> = Text extends `of.${infer Name}.label` ? Name : never
type Named = NameOf<Parameters<ReturnType<typeof useText>>[0]>
/** Every setting that has words: the compiler names one that is missing here. */
const named: Record<Named, true> = {
  prices_currency: true,
  prices_usd_cny: true,
  gateway_connect_timeout_ms: true,
  gateway_first_byte_timeout_ms: true,
  gateway_idle_timeout_ms: true,
  gateway_max_attempts: true,
  ledger_queue_capacity: true,
  ledger_batch_size: true,
  ledger_flush_interval_ms: true,
  stats_aggregation_interval_s: true,
  conversations_enabled: true,
  conversations_max_bytes_per_side: true,
  conversations_compress_after_days: true,
  api_rate_limit_per_operator: true,
  api_rate_limit_per_address: true,
  alerts_interval_ms: true,
  alerts_group_window_s: true,
  alerts_mails_per_hour: true,
  push_interval_ms: true,
  feedback_per_minute: true,
  log_stored_level: true,
  retention_request_logs_days: true,
  retention_contents_days: true,
  retention_system_logs_days: true,
  retention_health_checks_days: true,
  retention_metrics_snapshots_days: true,
  retention_deliveries_days: true,
  retention_alerts_days: true,
  archive_enabled: true,
  archive_after_days: true,
  scheduler_process_interval: true,
  scheduler_auto_learn_enabled: true,
  scheduler_sync_interval: true,
  scheduler_batch_size: true,
  scheduler_auto_sync_enabled: true,

  rag_top_k: true,
  rag_min_score: true,
}
const grouped = [
  'prices',
  'gateway',
  'ledger',
  'stats',
  'conversations',
  'api',
  'alerts',
  'push',
  'feedback',
  'log',
  'retention',
  'archive',
  'scheduler',
  'rag',
] as const

export function useWords() {
  const t = useText()
  const nameOf = (key: string) => {
    const name = key.replace('.', '_')
    return name in named ? (name as keyof typeof named) : undefined
  }
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
