// Colours for the four languages the console shows; loaded with the first coloured block.
import core from 'highlight.js/lib/core'
import bash from 'highlight.js/lib/languages/bash'
import javascript from 'highlight.js/lib/languages/javascript'
import json from 'highlight.js/lib/languages/json'
import python from 'highlight.js/lib/languages/python'

core.registerLanguage('bash', bash)
core.registerLanguage('javascript', javascript)
core.registerLanguage('json', json)
core.registerLanguage('python', python)

/** The library escapes the code and adds only spans; the result is parsed inertly. */
export function highlight(code: string, language: string): DocumentFragment {
  const template = document.createElement('template')
  template.innerHTML = core.highlight(code, { language }).value
  return template.content
}
