// Every failure of a call to the server, in one shape: what the server said (RFC 9457), or that it could not be reached.
import type { components } from './schema'

export type FieldProblem = components['schemas']['FieldError']

export class Problem extends Error {
  override name = 'Problem'
  constructor(
    /** HTTP status; 0 when no answer came. */
    readonly status: number,
    /** Stable slug from the catalog, or `unreachable` / `unreadable_answer`. */
    readonly code: string,
    readonly title: string,
    readonly detail: string,
    readonly requestId: string | null,
    readonly errors: readonly FieldProblem[] = [],
  ) {
    super(detail || title)
  }

  get isUnreachable(): boolean {
    return this.status === 0
  }
  /** Someone else changed it first. */
  get isConflictingEdit(): boolean {
    return this.status === 412
  }
  field(name: string): string | undefined {
    return this.errors.find((error) => error.field === name)?.message
  }

  static unreachable(cause: unknown): Problem {
    // What a browser says of it (“Failed to fetch”) helps nobody but who looks at the console.
    return Object.assign(new Problem(0, 'unreachable', 'Steward cannot be reached', '', null), { cause })
  }

  static async of(response: Response, parsed?: unknown): Promise<Problem> {
    const requestId = response.headers.get('x-request-id')
    const body = (parsed ?? (await response.json().catch(() => null))) as Partial<
      components['schemas']['Problem']
    > | null
    if (body && typeof body === 'object' && typeof body.code === 'string') {
      return new Problem(
        response.status,
        body.code,
        body.title ?? '',
        body.detail ?? '',
        body.request_id ?? requestId,
        body.errors ?? [],
      )
    }
    return new Problem(response.status, 'unreadable_answer', `HTTP ${response.status}`, response.statusText, requestId)
  }

  static from(cause: unknown): Problem {
    return cause instanceof Problem ? cause : Problem.unreachable(cause)
  }
}
