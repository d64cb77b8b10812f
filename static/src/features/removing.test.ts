// Who deletes says which version they saw: what somebody changed meanwhile is not deleted unseen.
import { flushPromises } from '@vue/test-utils'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type Component, defineComponent } from 'vue'
import { json, mounted, play } from '@/testing'
import { useRules as useAlertRules } from './alerts/useAlerts'
import { useRemote } from './backups/useBackups'
import { useChannels } from './channels/useChannels'
import { useJwtIssuers } from './jwt-issuers/useJwtIssuers'
import { useRules as useRedactionRules } from './redaction-rules/useRules'

afterEach(() => vi.unstubAllGlobals())

type Removing = () => { remove: { mutateAsync: (row: { id: string; version: number }) => Promise<unknown> } }

describe.each<[string, Removing, string]>([
  ['an alert rule', useAlertRules, '/api/v1/ops/alerts/rules/one'],
  ['a channel', useChannels, '/api/v1/ops/alerts/channels/one'],
  ['an issuer', useJwtIssuers, '/api/v1/jwt-issuers/one'],
  ['a redaction rule', useRedactionRules, '/api/v1/redaction-rules/one'],
  ['the remote', useRemote, '/api/v1/ops/backups/remote'],
])('deleting %s', (_, use, path) => {
  it('names the version that was shown', async () => {
    const asked = play(() => json({ items: [] }))
    let removing: ReturnType<Removing>['remove'] | undefined
    const page: Component = defineComponent({
      setup() {
        removing = use().remove
        return () => null
      },
    })
    const { wrapper } = await mounted(page)
    await removing!.mutateAsync({ id: 'one', version: 7 })
    await flushPromises()
    const [deleted] = asked.filter(({ line }) => line.startsWith('DELETE'))
    expect([deleted?.path, deleted?.headers.get('if-match')]).toEqual([path, '"7"'])
    wrapper.unmount()
  })
})
