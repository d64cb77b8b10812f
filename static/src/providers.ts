// What the providers' own documentation gives as protocol and base URL, so that nobody types it, and a model that an
// example can be run with: a cheap one that chats, by the name that goes on while its versions come and go.
export type Protocol = 'openai' | 'anthropic'
export interface Preset {
  /** The `provider` of the account. */
  provider: string
  name: string
  protocol: Protocol
  baseUrl: string
  model: string
  /** It has what somebody installed there. */
  isOwn?: true
  /** How a key of theirs begins, as a hint; empty when it says nothing. */
  keyHint: string
}

export const presets: readonly Preset[] = [
  {
    provider: 'openai',
    name: 'OpenAI',
    protocol: 'openai',
    baseUrl: 'https://api.openai.com/v1',
    model: 'gpt-4o-mini',
    keyHint: 'sk-…',
  },
  {
    provider: 'anthropic',
    name: 'Anthropic',
    protocol: 'anthropic',
    baseUrl: 'https://api.anthropic.com',
    model: 'claude-haiku-4-5',
    keyHint: 'sk-ant-…',
  },
  {
    provider: 'google',
    name: 'Google Gemini',
    protocol: 'openai',
    baseUrl: 'https://generativelanguage.googleapis.com/v1beta/openai',
    model: 'gemini-flash-lite-latest',
    keyHint: 'AIza…',
  },
  {
    provider: 'azure',
    name: 'Azure OpenAI',
    protocol: 'openai',
    baseUrl: 'https://YOUR-RESOURCE.openai.azure.com/openai/v1',
    model: 'gpt-4o-mini',
    keyHint: '',
  },
  {
    provider: 'deepseek',
    name: 'DeepSeek',
    protocol: 'openai',
    baseUrl: 'https://api.deepseek.com/v1',
    model: 'deepseek-v4-flash',
    keyHint: 'sk-…',
  },
  {
    provider: 'dashscope',
    name: 'Qwen · DashScope 通义千问',
    protocol: 'openai',
    baseUrl: 'https://dashscope.aliyuncs.com/compatible-mode/v1',
    model: 'qwen-flash',
    keyHint: 'sk-…',
  },
  {
    provider: 'moonshot',
    name: 'Moonshot · Kimi 月之暗面',
    protocol: 'openai',
    baseUrl: 'https://api.moonshot.cn/v1',
    model: 'kimi-k2.5',
    keyHint: 'sk-…',
  },
  {
    provider: 'zhipu',
    name: 'Zhipu GLM 智谱',
    protocol: 'openai',
    baseUrl: 'https://open.bigmodel.cn/api/paas/v4',
    model: 'glm-4.5-air',
    keyHint: '',
  },
  {
    provider: 'mistral',
    name: 'Mistral',
    protocol: 'openai',
    baseUrl: 'https://api.mistral.ai/v1',
    model: 'mistral-small-latest',
    keyHint: '',
  },
  {
    provider: 'openrouter',
    name: 'OpenRouter',
    protocol: 'openai',
    baseUrl: 'https://openrouter.ai/api/v1',
    model: 'openai/gpt-4o-mini',
    keyHint: 'sk-or-…',
  },
  {
    provider: 'ollama',
    name: 'Ollama',
    protocol: 'openai',
    baseUrl: 'http://127.0.0.1:11434/v1',
    model: 'llama3.2',
    isOwn: true,
    keyHint: 'ollama',
  },
  {
    provider: 'vllm',
    name: 'vLLM',
    protocol: 'openai',
    baseUrl: 'http://127.0.0.1:8000/v1',
    model: 'Qwen/Qwen3-8B',
    isOwn: true,
    keyHint: '',
  },
]

/** Whether the model is one that everybody has there. */
export const isKnown = (provider: string): boolean => presets.some((one) => one.provider === provider && !one.isOwn)

/** Of this provider; of one nobody has heard of, what is asked for most by its protocol. */
export const modelOf = (provider: string, protocol: Protocol): string =>
  (presets.find((one) => one.provider === provider) ?? presets.find((one) => one.protocol === protocol)!).model
