import { QueryClient, VueQueryPlugin } from '@tanstack/vue-query'
import { mount } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { defineComponent, effectScope, nextTick, ref } from 'vue'
import { Problem } from '@/api/problem'
import { useCursorList } from '@/kit'
import { usePreferences } from '@/preferences'
import LiveBadge from '@/shell/LiveBadge.vue'
import { useLive, watchReachability } from './polling'

const pushed = vi.hoisted(() => ({
  any: null as unknown as { value: boolean },
  topics: null as unknown as { value: string[] },
}))
vi.mock('./push', () => {
  pushed.any = ref(false)
  pushed.topics = ref([])
  return { isPushed: pushed.any, isTopicPushed: (topic: string) => pushed.topics.value.includes(topic) }
})

const mounted: { unmount: () => void }[] = []
beforeEach(() => {
  localStorage.clear()
  setActivePinia(createPinia())
  vi.useFakeTimers({ now: Date.parse('2026-03-04T12:00:00Z') })
})
afterEach(() => {
  mounted.splice(0).forEach((wrapper) => wrapper.unmount())
  pushed.any.value = false
  pushed.topics.value = []
  vi.useRealTimers()
})

/** The badge beside a page whose one query is answered by `ask`. */
function page(ask: () => Promise<unknown> = async () => 'well') {
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false, networkMode: 'always' } } })
  const Page = defineComponent({
    components: { LiveBadge },
    setup() {
      watchReachability()
      return { live: useLive() }
    },
    template: '<LiveBadge />',
  })
  const wrapper = mount(Page, { global: { plugins: [[VueQueryPlugin, { queryClient: queries }]] } })
  mounted.push(wrapper)
  const says = () => wrapper.get('button').text()
  const named = () => wrapper.get('button').attributes('aria-label')
  const asked = () => queries.fetchQuery({ queryKey: ['all'], queryFn: ask, staleTime: 0 }).catch(() => undefined)
  return { live: wrapper.vm.live, says, named, asked, queries }
}

describe('how fresh the page is', () => {
  it('has a word on a phone, where there is no room for a sentence, and the sentence for its name', async () => {
    vi.spyOn(window, 'matchMedia').mockImplementation(
      (query) => Object.assign(new EventTarget(), { matches: !query.includes('min-width'), media: query }) as never,
    )
    const { live, says, named, asked } = page(() =>
      Promise.reject(Problem.unreachable(new TypeError('Failed to fetch'))),
    )
    await nextTick()
    expect([says(), named()]).toEqual(['30 s', 'How fresh the page is: Every 30 s'])
    await asked()
    await nextTick()
    expect(says()).toBe('Stale')
    expect(named()).toMatch(/: Stale since /)
    live.unreachableSince.value = null
    live.paused.value = true
    await nextTick()
    expect(says()).toBe('Paused')
    live.paused.value = false
    pushed.any.value = true
    await nextTick()
    expect(says()).toBe('Live')
  })

  it('is told by who brings the news: the server, or the page that asks', async () => {
    const { live, says } = page()
    usePreferences().pollingSeconds = 15
    await nextTick()
    expect(says()).toBe('Every 15 s')
    pushed.any.value = true
    await nextTick()
    expect(says()).toBe('Live')
    // The connection is gone: the page asks again by itself.
    pushed.any.value = false
    await nextTick()
    expect([says(), live.interval.value]).toEqual(['Every 15 s', 15_000])
  })

  it('what is pushed is not asked for, and is as soon as it no longer is', () => {
    const { live } = page()
    const alerts = live.unless('alerts')
    expect(alerts.value).toBe(30_000)
    pushed.topics.value = ['alerts']
    expect([alerts.value, live.unless('requests').value]).toEqual([false, 30_000])
    pushed.topics.value = []
    expect(alerts.value).toBe(30_000)
  })

  it('keeps to its bounds, whatever was entered', () => {
    const { live } = page()
    const preferences = usePreferences()
    const at = (seconds: number) => {
      preferences.pollingSeconds = seconds
      return live.interval.value
    }
    expect([at(0), at(1), at(7.4), at(9_999), at(Number.NaN)]).toEqual([30_000, 5_000, 7_000, 300_000, 30_000])
  })

  it('is stale since the last answer while nothing answers, and no longer with the next one', async () => {
    let reached = true
    const { live, says, asked } = page(async () => {
      if (!reached) throw Problem.unreachable(new TypeError('Failed to fetch'))
      return 'well'
    })
    await asked()
    const answeredAt = Date.now()
    reached = false
    vi.setSystemTime(answeredAt + 40_000)
    await asked()
    vi.setSystemTime(answeredAt + 80_000)
    await asked()
    expect(live.unreachableSince.value).toBe(answeredAt)
    expect(says()).toMatch(/^Stale since /)
    reached = true
    await asked()
    expect([live.unreachableSince.value, says()]).toEqual([null, 'Every 30 s'])
  })

  it('is told by a list that is fetched as one scrolls, too', async () => {
    let reached = false
    const { live, says } = page()
    const scope = effectScope()
    const list = scope.run(() =>
      useCursorList<{ id: string }>({
        key: ref('all'),
        rowKey: (row) => row.id,
        fetchPage: async () => {
          if (!reached) throw Problem.unreachable(new TypeError('Failed to fetch'))
          return { items: [] }
        },
      }),
    )!
    await vi.advanceTimersByTimeAsync(0)
    expect(says()).toMatch(/^Stale since /)
    reached = true
    await list.restart()
    await nextTick()
    expect([live.unreachableSince.value, says()]).toEqual([null, 'Every 30 s'])
    scope.stop()
  })

  it('is not stale for a refusal: that is an answer', async () => {
    const { live, asked } = page(() => Promise.reject(new Problem(503, 'overloaded', 'Busy', '', null)))
    await asked()
    expect(live.unreachableSince.value).toBeNull()
  })

  it('rests while paused and in a tab that nobody looks at', async () => {
    const { live, says } = page()
    live.paused.value = true
    await nextTick()
    expect([says(), live.interval.value]).toEqual(['Paused', false])
    live.paused.value = false
    const visibility = vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden')
    document.dispatchEvent(new Event('visibilitychange'))
    expect(live.interval.value).toBe(false)
    visibility.mockReturnValue('visible')
    document.dispatchEvent(new Event('visibilitychange'))
    expect(live.interval.value).toBe(30_000)
  })
})
