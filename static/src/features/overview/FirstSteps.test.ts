import { afterEach, expect, it } from 'vitest'
import type { Upstream } from '@/calling'
import { button, mounted } from '@/testing'
import FirstSteps from './FirstSteps.vue'

afterEach(() => (document.body.innerHTML = ''))
const steps = { account: false, key: false, call: false }
const show = (permissions: string[], accounts: Upstream[] = []) =>
  mounted(FirstSteps, { props: { steps, accounts }, permissions })

it('offers what one may do', async () => {
  const buttons = () => ['Add account', 'Create key'].map((name) => button(name) !== undefined)
  const viewer = await show(['read:*'])
  expect(buttons()).toEqual([false, false])
  viewer.wrapper.unmount()
  const keys = await show(['read:*', 'write:tokens'])
  expect(buttons()).toEqual([false, true])
  keys.wrapper.unmount()
  const { wrapper } = await show(['*'])
  expect(buttons()).toEqual([true, true])
  wrapper.unmount()
})

it('calls what there is an account for', async () => {
  const claude = { provider: 'anthropic', protocol: 'anthropic', enabled: true, models: ['*'] }
  const { wrapper } = await show(['*'], [claude])
  expect(wrapper.text()).toMatch(/\/v1\/messages[^]*claude-/)
  expect(wrapper.text()).not.toContain('/v1/chat/completions')
  wrapper.unmount()
})
