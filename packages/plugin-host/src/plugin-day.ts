/**
 * A day in the life of a plugin, without a VPN: events in OpenVPN's order, with arguments and environment as a server
 * would give them. `seikan plugin test` runs one and prints what the plugin answered.
 */
import type { EventName, EventRequest, EventVerdict, FinalVerdict } from '@seikan/plugin-sdk';
import type { Log, LogLevel } from './log.js';
import type { Member } from './member.js';
import { PluginCascade } from './plugin-cascade.js';
import { PluginSet } from './plugin-set.js';

export interface DayStep {
  readonly event: EventName;
  /** 0 is the tunnel itself, 1, 2 … are clients. */
  readonly client: number;
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What the plugin must answer; absent: anything. */
  readonly expect?: 'success' | 'failure';
  /** The client is gone after this step. */
  readonly last?: boolean;
}

export interface StepReport {
  readonly step: DayStep;
  readonly verdicts: readonly EventVerdict[];
  readonly final: FinalVerdict;
  readonly ms: number;
  readonly logged: readonly { readonly level: LogLevel; readonly text: string }[];
  readonly asExpected: boolean;
}

export interface DayReport {
  readonly opened: readonly { readonly level: LogLevel; readonly text: string }[];
  readonly steps: readonly StepReport[];
  readonly closed: readonly { readonly level: LogLevel; readonly text: string }[];
  /** Every step answered as expected, and nothing was logged as an error. */
  readonly good: boolean;
}

export interface DayPlan {
  readonly steps: readonly DayStep[];
  /** The environment at opening. */
  readonly env: Readonly<Record<string, string>>;
  readonly tmpDir: string;
  /** For deferred answers, ms. */
  readonly patience?: number;
}

const letsIn: ReadonlySet<EventName> = new Set([
  'tls-verify',
  'auth-user-pass-verify',
  'tls-final',
  'client-connect',
  'client-connect-v2',
]);

/** Runs a plugin through a day. Throws PluginError where it cannot be loaded or does not open. */
export async function runDay(createPlugin: (log: Log) => Member, plan: DayPlan): Promise<DayReport> {
  let lines: { level: LogLevel; text: string }[] = [];
  const take = (): typeof lines => {
    const taken = lines;
    lines = [];
    return taken;
  };
  const log: Log = (level, text) => lines.push({ level, text: text.replace(/^PLUGIN /, '') });
  const member = createPlugin(log);
  const plugins = new PluginSet([member], log);
  const cascade = new PluginCascade(plugins, { scripts: { security: 1, commands: {}, tmpDir: plan.tmpDir } }, log);
  const steps: StepReport[] = [];
  try {
    await plugins.load();
    await plugins.open(member.initPoint, member.initPoint === 1 ? {} : plan.env);
    const opened = take();
    const seen = new Set([0]);
    const refused = new Set<number>();
    for (const step of plan.steps) {
      if (!seen.has(step.client)) cascade.openContext(step.client);
      seen.add(step.client);
      if (cascade.has(step.event) && !refused.has(step.client)) {
        const report = await runStep(cascade, step, plan, take);
        steps.push(report);
        // As in OpenVPN, the client is told and dropped: nothing more of it is seen.
        if (report.final.result === 'failure' && step.client !== 0 && letsIn.has(step.event)) refused.add(step.client);
      }
      if (step.last === true) cascade.closeContext(step.client);
    }
    await plugins.close();
    const closed = take();
    const errors = [...opened, ...steps.flatMap((step) => step.logged), ...closed].some(
      ({ level }) => level === 'error',
    );
    return { opened, steps, closed, good: !errors && steps.every((step) => step.asExpected) };
  } catch (error) {
    await plugins.abort();
    throw error;
  }
}

async function runStep(
  cascade: PluginCascade,
  step: DayStep,
  plan: DayPlan,
  take: () => { level: LogLevel; text: string }[],
): Promise<StepReport> {
  const request: EventRequest = {
    event: step.event,
    context: step.client,
    argv: step.argv ?? [],
    env: { ...plan.env, ...step.env },
  };
  const verdicts: EventVerdict[] = [];
  const started = performance.now();
  const final = await new Promise<FinalVerdict>((resolve) => {
    const cancel = cascade.run(request, (verdict) => {
      verdicts.push(verdict);
      if (verdict.result !== 'success' && verdict.result !== 'failure') return;
      clearTimeout(timer);
      resolve(verdict);
    });
    const patience = plan.patience ?? 30_000;
    const timer = setTimeout(() => {
      cancel();
      resolve({ result: 'failure', cause: `no answer within ${patience} ms` });
    }, patience);
  });
  const ms = performance.now() - started;
  const asExpected = step.expect === undefined || step.expect === final.result;
  return { step, verdicts, final, ms, logged: take(), asExpected };
}

/** A server's day: it starts, a client comes, renegotiates and goes, another is refused or not, the server stops. */
export function usualDay(username: string, password: string): DayPlan['steps'] {
  const device = ['tun0', '1500', '0', '10.8.0.1', '255.255.255.0', 'init'];
  const tunnel = {
    dev: 'tun0',
    dev_type: 'tun',
    tun_mtu: '1500',
    script_context: 'init',
    ifconfig_local: '10.8.0.1',
    ifconfig_netmask: '255.255.255.0',
  };
  return [
    { event: 'up', client: 0, argv: device, env: tunnel },
    { event: 'route-up', client: 0, env: tunnel },
    ...visit(1, username, password),
    ...visit(2, username, `not ${password}`),
    { event: 'route-predown', client: 0, argv: device, env: { ...tunnel, signal: 'sigterm' } },
    { event: 'down', client: 0, argv: device, env: { ...tunnel, signal: 'sigterm' } },
  ];
}

function visit(client: number, name: string, secret: string): DayStep[] {
  const from = { untrusted_ip: `192.0.2.${client}`, untrusted_port: '40000', common_name: name };
  const known = { ...from, trusted_ip: from.untrusted_ip, trusted_port: from.untrusted_port, username: name };
  const pool = {
    ifconfig_pool_remote_ip: `10.8.0.${client + 1}`,
    ifconfig_pool_netmask: '255.255.255.0',
    time_unix: '1767225600',
  };
  const handshake: DayStep[] = [
    {
      event: 'tls-verify',
      client,
      argv: ['1', 'CN=Test CA'],
      env: { ...from, X509_1_CN: 'Test CA', tls_serial_1: '1' },
    },
    { event: 'tls-verify', client, argv: ['0', `CN=${name}`], env: { ...from, X509_0_CN: name, tls_serial_0: '2' } },
    {
      event: 'auth-user-pass-verify',
      client,
      env: { ...from, username: name, password: secret, IV_VER: '2.6.14', IV_SSO: 'webauth,openurl,crtext' },
    },
    { event: 'tls-final', client, env: { ...from, username: name } },
  ];
  return [
    ...handshake,
    { event: 'ipchange', client: 0, argv: [`[AF_INET]${from.untrusted_ip} 40000`], env: known },
    { event: 'client-connect', client, env: { ...known, ...pool } },
    { event: 'client-connect-v2', client, env: { ...known, ...pool } },
    { event: 'learn-address', client, argv: ['add', pool.ifconfig_pool_remote_ip, name], env: known },
    ...(client === 1 ? handshake : []),
    {
      event: 'client-disconnect',
      client,
      env: { ...known, ...pool, bytes_received: '1200', bytes_sent: '3400', time_duration: '60' },
      last: true,
    },
    { event: 'learn-address', client: 0, argv: ['delete', pool.ifconfig_pool_remote_ip] },
  ];
}

/** A report as lines for people. */
export function formatDay(report: DayReport): string[] {
  const logged = (lines: DayReport['opened']): string[] =>
    lines.map(({ level, text }) => `        ${level === 'error' ? '! ' : '  '}${text}`);
  return [
    'open',
    ...logged(report.opened),
    ...report.steps.flatMap(({ step, verdicts, final, ms, logged: lines, asExpected }) => {
      const who = step.client === 0 ? 'tunnel' : `client ${step.client}`;
      const way = verdicts.map(({ result }) => result).join(', then ') || final.result;
      const details = [
        ...('reason' in final && final.reason !== undefined ? [`reason: ${final.reason}`] : []),
        ...('cause' in final && final.cause !== undefined ? [`cause: ${final.cause}`] : []),
        ...('config' in final && final.config !== undefined
          ? final.config
              .trimEnd()
              .split('\n')
              .map((line) => `config: ${line}`)
          : []),
        ...(asExpected ? [] : [`expected: ${step.expect}`]),
      ];
      return [
        `${step.event.padEnd(22)} ${who.padEnd(9)} ${way}  (${ms.toFixed(2)} ms)`,
        ...details.map((detail) => `        ${asExpected ? '  ' : '! '}${detail}`),
        ...logged(lines),
      ];
    }),
    'close',
    ...logged(report.closed),
    report.good ? 'good' : 'not good: see the lines with !',
  ];
}
