/** How every text-like control looks. */
export const control =
  'bg-surface border-line-strong h-8 w-full rounded border px-2.5 text-sm aria-[invalid]:border-bad disabled:bg-sunken'
