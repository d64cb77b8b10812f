// What the providers' own documentation gives as protocol and base URL, so that nobody types it.
export interface Preset {
  /** The `provider` of the account. */
  provider: string
  name: string
  protocol: 'openai' | 'anthropic'
  baseUrl: string
  /** How a key of theirs begins, as a hint; empty when it says nothing. */
  keyHint: string
}

export const presets: readonly Preset[] = [
  { provider: 'openai', name: 'OpenAI', protocol: 'openai', baseUrl: 'https://api.openai.com/v1', keyHint: 'sk-…' },
  {
    provider: 'anthropic',
    name: 'Anthropic',
    protocol: 'anthropic',
    baseUrl: 'https://api.anthropic.com',
    keyHint: 'sk-ant-…',
  },
  {
    provider: 'google',
    name: 'Google Gemini',
    protocol: 'openai',
    baseUrl: 'https://generativelanguage.googleapis.com/v1beta/openai',
    keyHint: 'AIza…',
  },
  {
    provider: 'azure',
    name: 'Azure OpenAI',
    protocol: 'openai',
    baseUrl: 'https://YOUR-RESOURCE.openai.azure.com/openai/v1',
    keyHint: '',
  },
  {
    provider: 'deepseek',
    name: 'DeepSeek',
    protocol: 'openai',
    baseUrl: 'https://api.deepseek.com/v1',
    keyHint: 'sk-…',
  },
  {
    provider: 'dashscope',
    name: 'Qwen · DashScope 通义千问',
    protocol: 'openai',
    baseUrl: 'https://dashscope.aliyuncs.com/compatible-mode/v1',
    keyHint: 'sk-…',
  },
  {
    provider: 'moonshot',
    name: 'Moonshot · Kimi 月之暗面',
    protocol: 'openai',
    baseUrl: 'https://api.moonshot.cn/v1',
    keyHint: 'sk-…',
  },
  {
    provider: 'zhipu',
    name: 'Zhipu GLM 智谱',
    protocol: 'openai',
    baseUrl: 'https://open.bigmodel.cn/api/paas/v4',
    keyHint: '',
  },
  { provider: 'mistral', name: 'Mistral', protocol: 'openai', baseUrl: 'https://api.mistral.ai/v1', keyHint: '' },
  {
    provider: 'openrouter',
    name: 'OpenRouter',
    protocol: 'openai',
    baseUrl: 'https://openrouter.ai/api/v1',
    keyHint: 'sk-or-…',
  },
  { provider: 'ollama', name: 'Ollama', protocol: 'openai', baseUrl: 'http://127.0.0.1:11434/v1', keyHint: 'ollama' },
  { provider: 'vllm', name: 'vLLM', protocol: 'openai', baseUrl: 'http://127.0.0.1:8000/v1', keyHint: '' },
]
