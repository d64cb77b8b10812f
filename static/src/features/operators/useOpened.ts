// What is open over a list of people or roles stands in the address: a record by its id, or the form of a new one. So it
// can be sent, and Back closes it.
import { computed } from 'vue'
import { useRoute, useRouter } from 'vue-router'

export function useOpened({ mayOpen, mayAdd }: { mayOpen: () => boolean; mayAdd: () => boolean }) {
  const route = useRoute()
  const router = useRouter()
  const id = computed(() => {
    const { id } = route.params
    return typeof id === 'string' && id !== '' && mayOpen() ? id : null
  })
  const isNew = computed(() => id.value === null && route.query.new !== undefined && mayAdd())
  const to = (id?: string, isNew?: '1') => ({
    name: 'operators',
    params: { id },
    query: { ...route.query, new: isNew },
  })
  return {
    id,
    isNew,
    isOpen: computed(() => isNew.value || id.value !== null),
    open: (one: { id: string }) => router.push(to(one.id)),
    add: () => router.push(to(undefined, '1')),
    // A form that is done with is no place to come back to: Back would open an empty one.
    close: () => router[isNew.value ? 'replace' : 'push'](to()),
  }
}
