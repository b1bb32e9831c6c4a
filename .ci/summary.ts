/** Adds up what the test runs reported. Arguments: the number of failed steps, and the folder with the reports. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

type Report = { numPassedTests: number; numFailedTests: number; numPendingTests: number; numFailedTestSuites: number }

const [faults = '0', folder = ''] = process.argv.slice(2)
const sum = { passed: 0, failed: 0, skipped: 0 }
for (const name of readdirSync(folder)) {
  const report = JSON.parse(readFileSync(join(folder, name), 'utf8')) as Report
  sum.passed += report.numPassedTests
  sum.failed += report.numFailedTests
  sum.skipped += report.numPendingTests
}
// A step that failed without a failing test (lint, types, a file that does not load) must show in the count, too.
if (Number(faults) > 0 && sum.failed === 0) sum.failed = Number(faults)
console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`)
process.exitCode = sum.failed > 0 || Number(faults) > 0 || sum.passed === 0 ? 1 : 0
