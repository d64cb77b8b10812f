/** A form is for typing: its first field gets the focus. False where there is none that can be typed in. */
export function focusForm(below: ParentNode | null): boolean {
  const field = below?.querySelector<HTMLElement>('form :is(input, select, textarea):not([type=hidden], :disabled)')
  field?.focus()
  return field != null
}
