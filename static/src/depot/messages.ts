import { featureText } from '@/i18n'

export const useText = featureText(
  'depot',
  {
    path: 'Folder',
    pathHint: 'Absolute. Best on another disk, mounted there.',
    endpoint: 'Address',
    staysHint: 'Left empty, it stays as it is.',
    region: 'Region',
    bucket: 'Bucket',
    prefix: 'Prefix',
    accessKey: 'Access key',
    secretKey: 'Secret key',
    secretHint: 'Stored sealed; never shown again. Left empty, it stays as it is.',
  },
  {
    path: '文件夹',
    pathHint: '绝对路径，最好位于挂载的另一块磁盘上。',
    endpoint: '地址',
    staysHint: '留空则保持不变。',
    region: '区域',
    bucket: '存储桶',
    prefix: '前缀',
    accessKey: 'Access key',
    secretKey: 'Secret key',
    secretHint: '加密保存，不再显示。留空则保持不变。',
  },
)
