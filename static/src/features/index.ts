// The console's contents page: every feature gives its pages; menu, routes and palette are made from this list alone.
import type { Component } from 'vue'
import type { LocationQuery, RouteRecordRaw } from 'vue-router'

export interface Feature {
  /** The noun: folder name, path, and key of its name in `shell.nav`. */
  noun: NavKey
  group: 'traffic' | 'system'
  icon: Component
  /** Permission needed to see it, `read:<resource>`. */
  permission: string
  /** What of it every operator may see. */
  isEverybodys?: (query: LocationQuery) => boolean
  /** Second key of the shortcut `g x`. */
  shortcut: string
  routes: RouteRecordRaw[]
}

export type NavKey =
  | 'overview'
  | 'requests'
  | 'usage'
  | 'conversations'
  | 'tokens'
  | 'accounts'
  | 'prices'
  | 'prompts'
  | 'feedback'
  | 'tenants'
  | 'templates'
  | 'knowledge'
  | 'supervision'
  | 'health'
  | 'backups'
  | 'operators'
  | 'audit'
  | 'jobs'
  | 'logs'
  | 'redaction-rules'
  | 'settings'
  | 'alerts'
  | 'channels'
  | 'retention'
  | 'jwt-issuers'
  | 'jwt-tests'
  | 'reports'

const found = import.meta.glob<{ default: Feature }>('./*/index.ts', { eager: true })
const order: NavKey[] = [
  'overview',
  'requests',
  'usage',
  'reports',
  'conversations',
  'tokens',
  'jwt-issuers',
  'jwt-tests',
  'accounts',
  'prices',
  'prompts',
  'feedback',
  'tenants',
  'templates',
  'knowledge',
  'alerts',
  'channels',
  'supervision',
  'health',
  'backups',
  'logs',
  'retention',
  'jobs',
  'operators',
  'audit',
  'redaction-rules',
  'settings',
]

export const features: Feature[] = Object.values(found)
  .map((module) => module.default)
  .sort((a, b) => order.indexOf(a.noun) - order.indexOf(b.noun))
