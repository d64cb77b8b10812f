// Pairs that ask nearly what somebody is about to save: looked for once a question, and never in the way of saving.
import { ref } from 'vue'
import { answer, api, idempotencyKey } from '@/api/client'
import { Problem } from '@/api/problem'
import type { Hit } from './useSync'

export function useNear() {
  const near = ref<Hit[]>([])
  /** Somebody has seen them and saves all the same. */
  const isSeen = ref(false)
  const looking = ref(false)
  /** Why nobody could look; null when somebody did, or there is no model to look with. */
  const unlooked = ref<string | null>(null)
  let asked = ''

  async function look(question: string, tenant: string, except?: string): Promise<void> {
    looking.value = true
    unlooked.value = null
    try {
      const found = await answer(
        api.POST('/api/v1/ops/knowledge/similar', {
          params: { header: { 'idempotency-key': idempotencyKey() } },
          body: { question, ...(tenant ? { tenant_id: tenant } : {}), ...(except ? { except } : {}) },
        }),
      )
      near.value = found.items
      unlooked.value = found.reason ?? null
    } catch (cause) {
      near.value = []
      unlooked.value = Problem.from(cause).message
    }
    looking.value = false
  }
  /** Whether it may be saved: nothing is near, or it was seen. What cannot be looked at may. */
  async function maySave(question: string, tenant: string, except?: string): Promise<boolean> {
    const key = JSON.stringify([question.trim(), tenant])
    if (question.trim() === '') return true
    if (asked !== key) {
      asked = key
      isSeen.value = false
      await look(question.trim(), tenant, except)
    }
    return near.value.length === 0 || isSeen.value
  }
  function forget() {
    asked = ''
    near.value = []
    isSeen.value = false
    unlooked.value = null
  }
  return { near, isSeen, looking, unlooked, maySave, forget }
}
