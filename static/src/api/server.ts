// Which server an address leads to. Pure.

/** A secret that was given for one server is wanted again for another. An address half typed leads nowhere yet. */
export function leadsElsewhere(before: string | undefined, after: string): boolean {
  if (!before) return false
  try {
    return new URL(before).origin !== new URL(after.trim()).origin
  } catch {
    return false
  }
}
