// Runs of a version: asked for, heard as they come, and those that are kept.
import { useMutation, useQueryClient } from '@tanstack/vue-query'
import { computed, onScopeDispose, ref, shallowRef } from 'vue'
import { answer, api, signedFetch } from '@/api/client'
import { Problem } from '@/api/problem'
import type { components } from '@/api/schema'
import { useCursorList } from '@/kit'

type Schemas = components['schemas']
export type Run = Schemas['PromptRun']
export type RunWish = Omit<Schemas['RunWish'], 'variables'> & { variables: Record<string, string> }
export type RunEvent = { name: string; data: Record<string, unknown> }

/** Events out of a stream's text, whatever its pieces; what is no event yet waits for the rest. */
export function eventsIn(buffer: string): { events: RunEvent[]; rest: string } {
  const blocks = buffer.split('\n\n')
  const rest = blocks.pop() ?? ''
  const events = blocks.flatMap((block): RunEvent[] => {
    const field = (name: string) =>
      block
        .split('\n')
        .find((line) => line.startsWith(`${name}: `))
        ?.slice(name.length + 2)
    const data = field('data')
    return data === undefined ? [] : [{ name: field('event') ?? 'message', data: JSON.parse(data) }]
  })
  return { events, rest }
}

async function hear(response: Response, take: (event: RunEvent) => void) {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let buffer = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const { events, rest } = eventsIn(buffer + value)
    buffer = rest
    events.forEach(take)
  }
}

/** One run at a time. Whoever leaves, or stops it, cancels the call. */
export function useRun(id: () => string, ended: () => void) {
  const text = ref('')
  const run = shallowRef<Run | null>(null)
  const problem = shallowRef<Problem | null>(null)
  const running = ref(false)
  const stopped = ref(false)
  let abort: AbortController | null = null

  async function start(wish: RunWish) {
    stop()
    const mine = (abort = new AbortController())
    text.value = ''
    run.value = problem.value = null
    stopped.value = false
    running.value = true
    try {
      const address = new URL(`/api/v1/prompts/${encodeURIComponent(id())}/run`, location.origin)
      const request = new Request(address, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
        body: JSON.stringify(wish),
        signal: mine.signal,
      })
      const response = await signedFetch(request)
      if (!response.ok) throw await Problem.of(response, await response.json().catch(() => undefined))
      await hear(response, ({ name, data }) => {
        if (name === 'text') text.value += String(data.text)
        else if (name === 'ended') run.value = data as unknown as Run
      })
      ended()
    } catch (cause) {
      if (mine.signal.aborted) return
      problem.value = cause instanceof Problem ? cause : Problem.unreachable(cause)
    } finally {
      if (abort === mine) running.value = false
    }
  }
  function stop() {
    if (!running.value) return
    abort?.abort()
    running.value = false
    stopped.value = true
  }
  onScopeDispose(stop)
  return { text, run, problem, running, stopped, start, stop }
}

/** What was run before. */
export function useRuns(id: () => string) {
  const queries = useQueryClient()
  const turn = ref(0)
  const list = useCursorList<Run>({
    key: computed(() => `${id()} ${turn.value}`),
    rowKey: (run) => run.id,
    fetchPage: (cursor, signal) =>
      answer(
        api.GET('/api/v1/prompts/{id}/runs', {
          params: { path: { id: id() }, query: { limit: 20, ...(cursor ? { cursor } : {}) } },
          signal,
        }),
      ),
  })
  const runs = computed(() =>
    Array.from({ length: list.count.value }, (_, index) => list.at(index)).filter((one) => one !== undefined),
  )
  const again = () => {
    turn.value++
    void queries.invalidateQueries({ queryKey: ['prompt-use', id()] })
  }
  const remove = useMutation({
    mutationFn: (run: string) =>
      answer(api.DELETE('/api/v1/prompts/{id}/runs/{run}', { params: { path: { id: id(), run } } })),
    onSettled: again,
  })
  return { list, runs, again, remove }
}
