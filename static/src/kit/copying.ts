// Copying text also where the clipboard API is missing: a console opened over plain http in a LAN.
export async function copyText(text: string): Promise<boolean> {
  try {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text)
      return true
    }
  } catch {
    // Refused (no permission, no focus): the old way is tried.
  }
  const area = document.createElement('textarea')
  area.value = text
  area.setAttribute('readonly', '')
  area.style.position = 'fixed'
  area.style.opacity = '0'
  // Inside an open dialog, so that its focus trap does not take the focus away.
  const home = document.querySelector('[role=dialog]') ?? document.body
  home.append(area)
  area.select()
  const copied = document.execCommand?.('copy') ?? false
  area.remove()
  return copied
}
