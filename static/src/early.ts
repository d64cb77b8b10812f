// The first script of the page: small, and not waited for by anything.
import { takeHeadStart } from './head_start'

takeHeadStart()
