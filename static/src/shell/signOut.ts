// Signing out, from wherever it is asked for: what stood in its way is told, and the page stays.
import { Problem } from '../api/problem'
import { toast } from '../kit/toast'
import { useSession } from '../session'

export async function signOut(): Promise<void> {
  try {
    await useSession().signOut()
  } catch (cause) {
    toast.failed(Problem.from(cause))
  }
}
