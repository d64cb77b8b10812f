// Loaded with the first Markdown text.
import createDOMPurify from 'dompurify'
import MarkdownIt from 'markdown-it'

const renderer = new MarkdownIt({ html: false, linkify: true, breaks: true })
const purifier = createDOMPurify(window)

export function markdown(text: string): DocumentFragment {
  return purifier.sanitize(renderer.render(text), { RETURN_DOM_FRAGMENT: true, FORBID_TAGS: ['img', 'style', 'form'] })
}
