/**
 * All plugins and scripts of a tunnel as one: asks every plugin that wants an event, in config order, then the script,
 * and makes one verdict of their answers.
 *
 *     general         all plugins, also after one has failed; success if all gave 0
 *     tls-verify, up, down, route-predown   as above, but the script runs only after success
 *     authentication  all plugins and the script, each with files of its own; success if all say yes, now or later
 *     client-connect  plugins with event 6, asked again with 13; plugins with event 9, asked again with 14
 *
 * Source: OpenVPN 2.6 src/openvpn/plugin.c plugin_call_ssl(), ssl_verify.c verify_user_pass(), multi.c
 * multi_client_connect_call_plugin_v1() and _v2().
 * Differs from OpenVPN 2.x: nothing waits for a plugin; several may defer; a written answer acts at once; a plugin that
 * is gone, or late, says no to whoever asks to come in and nothing to the rest.
 */
import { X509Certificate } from 'node:crypto';
import type {
  EventContext,
  EventName,
  EventRequest,
  EventVerdict,
  FinalVerdict,
  PendingAuth,
  PluginEventName,
} from '@seikan/plugin-sdk';
import { AuthFiles, ConnectFiles } from './answer-files.js';
import { CallStats } from './call-stats.js';
import { KeptEnv } from './kept-env.js';
import type { Log } from './log.js';
import type { Member, MemberCall, MemberOutcome, NoVerdict } from './member.js';
import type { PluginSet } from './plugin-set.js';
import { type Cancel, ScriptRunner, type ScriptSettings } from './script-runner.js';
import { createTempFile, removeFile } from './temp-file.js';
import type { TraceRecord } from './trace.js';

export interface CascadeSettings {
  readonly scripts: ScriptSettings;
  /** Ask no further plugin once one has said no. OpenVPN asks all, so that a push message is sent to a phone although the password was wrong. */
  readonly failFast?: boolean;
  /** How long a plugin's call may take when its request does not say, ms. Absent: 10 s, and a minute for the tunnel's own events. */
  readonly deadline?: number;
}

type Failure = Extract<FinalVerdict, { result: 'failure' }>;

export class PluginCascade {
  readonly plugins: PluginSet;
  readonly stats = new CallStats();
  readonly #settings: CascadeSettings;
  readonly #kept = new KeptEnv();
  readonly #scripts: ScriptRunner;
  readonly #log: Log;
  readonly #watchers = new Set<(record: TraceRecord) => void>();

  constructor(plugins: PluginSet, settings: CascadeSettings, log: Log) {
    this.plugins = plugins;
    this.#settings = settings;
    this.#log = log;
    this.#scripts = new ScriptRunner(settings.scripts, log, this.#kept);
  }

  /** Whether a plugin or script waits for an event, so that the engine need not ask for nothing. */
  has(event: EventName): boolean {
    if (event === 'client-connect-script' || event === 'tls-crypt-v2-verify') return this.#scripts.has(event);
    return this.#scripts.has(event) || this.#listeners(event).length > 0;
  }

  /** A client begins: with its first accepted packet. */
  openContext(context: EventContext): void {
    this.plugins.openContext(context);
  }

  /** A client ends: after its last event. */
  closeContext(context: EventContext): void {
    this.#kept.close(context);
    this.plugins.closeContext(context);
  }

  /** Sees every call with its arguments, environment and result, until the returned function is called. */
  trace(see: (record: TraceRecord) => void): () => void {
    this.#watchers.add(see);
    return () => this.#watchers.delete(see);
  }

  /** Runs plugins and script for an event; see EventRequest for the order of answers. Nothing is thrown. */
  run(request: EventRequest, answer: (verdict: EventVerdict) => void): Cancel {
    const ask = new Ask(request, answer);
    this.#run(ask).catch((error: unknown) => {
      this.#log('error', `plugins of ${request.event}: ${error instanceof Error ? error.message : String(error)}`);
      ask.finish({ result: 'failure', cause: 'an answer file could not be made' });
    });
    return ask.cancel;
  }

  async #run(ask: Ask): Promise<void> {
    switch (ask.request.event) {
      case 'client-connect-script':
      case 'tls-crypt-v2-verify':
        ask.onEnd(this.#scripts.run(ask.request, (verdict) => ask.say(verdict)));
        return;
      case 'auth-user-pass-verify':
        return this.#authenticate(ask);
      case 'client-connect':
        return this.#connect(ask);
      case 'client-connect-v2':
        return this.#connectV2(ask);
      default:
        return this.#general(ask, ask.request.event);
    }
  }

  async #general(ask: Ask, event: EventName & PluginEventName): Promise<void> {
    const request = this.#withCertificate(ask);
    let failed: Failure | undefined;
    for (const member of this.#listeners(event)) {
      const outcome = await this.#call(member, event, request, this.#kept.of(request));
      const final =
        outcome.result === 'later' ? await this.#inTime(outcome.answer, { member, event, request }) : outcome;
      if (final.result === 'success' || (final.result === 'none' && !failsClosed.has(event))) continue;
      failed ??= { result: 'failure', ...causeOf(final, `plugin ${member.name} cannot defer ${event}`) };
      if (this.#settings.failFast === true) break;
    }
    if (ask.over) return;
    if (failed?.cause !== undefined && onlyWarned.has(event))
      this.#log('warn', `WARNING: ${event} plugin call failed: ${failed.cause}`);
    if (failed !== undefined && (scriptAfterSuccess.has(event) || !this.#scripts.has(event))) return ask.finish(failed);
    ask.onEnd(this.#scripts.run(request, (verdict) => ask.say(failed ?? verdict)));
    return undefined;
  }

  async #authenticate(ask: Ask): Promise<void> {
    const { request } = ask;
    const event = 'auth-user-pass-verify';
    const waits: Promise<FinalVerdict>[] = [];
    let failed: FinalVerdict | undefined;
    let question: PendingAuth | undefined;

    for (const member of this.#listeners(event)) {
      const files = member.answersByFile ? new AuthFiles(this.#settings.scripts.tmpDir) : undefined;
      if (files !== undefined) {
        ask.onEnd(() => files.remove());
        this.#kept.add(request.context, files.env);
      }
      const outcome = await this.#call(member, event, request, this.#kept.of(request));
      if (ask.over) return;
      if (outcome.result === 'deferred') {
        const pending = files?.pending();
        if (pending === 'malformed')
          failed ??= { result: 'failure', cause: `plugin ${member.name}: its auth_pending_file is malformed` };
        else {
          question ??= pending;
          waits.push(new Promise((resolve) => files?.onAnswer(resolve)));
        }
      } else if (outcome.result === 'later') {
        question ??= outcome.pending;
        waits.push(outcome.answer.then(decided));
      } else {
        if (outcome.result !== 'success') {
          const cause = `plugin ${member.name} said no`;
          failed ??= { ...(files?.failure(cause) ?? { result: 'failure', cause }), ...causeOf(outcome, cause) };
        }
        files?.remove();
      }
      if (failed !== undefined && this.#settings.failFast === true) return ask.finish(failed);
    }

    if (this.#scripts.has(event)) {
      const { first, final } = this.#script(ask, request);
      const said = await first;
      if (ask.over) return;
      if (said.result === 'failure') failed ??= said;
      else if (said.result !== 'success') {
        if (said.result === 'pending') question ??= said;
        waits.push(final);
      }
    }

    if (failed !== undefined) return ask.finish(failed);
    if (waits.length === 0) return ask.finish({ result: 'success' });
    ask.say(question === undefined ? { result: 'deferred' } : { ...question, result: 'pending' });
    ask.finishWhenAll(waits);
    return undefined;
  }

  /** The script's first verdict, interim or final, and its final one. */
  #script(ask: Ask, request: EventRequest): { first: Promise<EventVerdict>; final: Promise<FinalVerdict> } {
    let sayFinal: ((verdict: FinalVerdict) => void) | undefined;
    const final = new Promise<FinalVerdict>((resolve) => {
      sayFinal = resolve;
    });
    const first = new Promise<EventVerdict>((resolve) => {
      const cancel = this.#scripts.run(request, (verdict) => {
        resolve(verdict);
        if (verdict.result === 'success' || verdict.result === 'failure') sayFinal?.(verdict);
      });
      ask.onEnd(cancel);
    });
    return { first, final };
  }

  async #connect(ask: Ask): Promise<void> {
    const { request } = ask;
    const waits: Promise<FinalVerdict>[] = [];
    const configs: (() => string)[] = [];
    let failed: FinalVerdict | undefined;
    for (const member of this.#listeners('client-connect')) {
      const files = new ConnectFiles(this.#settings.scripts.tmpDir);
      ask.onEnd(() => files.remove());
      configs.push(() => files.config());
      const again = { ...request, argv: [files.configFile, ...request.argv] };
      const env = { ...this.#kept.of(request), ...files.env };
      const outcome = await this.#call(member, 'client-connect', again, env);
      if (ask.over) return;
      const now = connectState(outcome, files);
      if (now.result === 'failure') failed ??= now;
      else if (now.result === 'deferred')
        waits.push(
          this.#polled(
            ask,
            (poll) => files.watch(poll),
            async () => {
              const polled: MemberOutcome = member.events.has('client-connect-defer')
                ? await this.#call(member, 'client-connect-defer', again, env)
                : { result: 'success' };
              return connectState(polled, files);
            },
          ),
        );
    }
    if (failed !== undefined) return ask.finish(failed);
    if (waits.length > 0) ask.say({ result: 'deferred' });
    ask.finishWhenAll(waits, () => configs.map((read) => read()));
    return undefined;
  }

  async #connectV2(ask: Ask): Promise<void> {
    const { request } = ask;
    const event = 'client-connect-v2';
    const configs: string[] = [];
    const waits: Promise<FinalVerdict>[] = [];
    let failed: FinalVerdict | undefined;
    const canPoll = this.#listeners('client-connect-defer-v2').length > 0;
    for (const [index, member] of this.#listeners(event).entries()) {
      const keep = (verdict: FinalVerdict): FinalVerdict => {
        if (verdict.result === 'success') configs[index] = verdict.config ?? '';
        return verdict;
      };
      const env = this.#kept.of(request);
      const outcome = await this.#call(member, event, request, env);
      if (ask.over) return;
      if (outcome.result === 'success') keep(outcome);
      else if (outcome.result === 'later') waits.push(outcome.answer.then(decided).then(keep));
      else if (outcome.result === 'deferred' && canPoll)
        waits.push(
          this.#polled(
            ask,
            () => {},
            async () => {
              if (!member.events.has('client-connect-defer-v2')) return { result: 'success' };
              const polled = await this.#call(member, 'client-connect-defer-v2', request, env);
              return polled.result === 'success' || polled.result === 'deferred'
                ? polled
                : { result: 'failure', ...causeOf(polled, '') };
            },
          ).then(keep),
        );
      else
        failed ??= {
          result: 'failure',
          ...causeOf(outcome, `plugin ${member.name} defers a client-connect without the event that asks again`),
        };
    }
    if (failed !== undefined) return ask.finish(failed);
    if (waits.length > 0) ask.say({ result: 'deferred' });
    ask.finishWhenAll(waits, () => configs);
    return undefined;
  }

  /**
   * Asks again until there is an answer: soon at first, then once a second as OpenVPN does, and whenever `onChange`'s
   * function is called.
   */
  async #polled(
    ask: Ask,
    onChange: (poll: () => void) => void,
    poll: () => Promise<FinalVerdict | { result: 'deferred' }>,
  ): Promise<FinalVerdict> {
    let wake: (() => void) | undefined;
    onChange(() => wake?.());
    ask.onEnd(() => wake?.());
    for (let pause = 50; ; pause = Math.min(pause * 2, 1_000)) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, pause);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      if (ask.over) return { result: 'failure' };
      const verdict = await poll();
      if (verdict.result !== 'deferred') return verdict;
    }
  }

  /** tls-export-cert: the certificate under test as a file, for plugins and script alike. */
  #withCertificate(ask: Ask): EventRequest {
    const { request } = ask;
    const { exportCertDir } = this.#settings.scripts;
    if (request.event !== 'tls-verify' || exportCertDir === undefined || request.certificate === undefined)
      return request;
    const path = createTempFile(exportCertDir, 'pef', new X509Certificate(request.certificate.der).toString());
    ask.onEnd(() => removeFile(path));
    return { ...request, env: { ...request.env, peer_cert: path } };
  }

  /** A promise's answer, or that it came too late to be one. */
  async #inTime(
    answer: Promise<FinalVerdict | NoVerdict>,
    { member, event, request }: { member: Member; event: PluginEventName; request: EventRequest },
  ): Promise<FinalVerdict | NoVerdict> {
    const limit = this.#deadline(event, request);
    const none: NoVerdict = {
      result: 'none',
      cause: `plugin ${member.name} gave no answer to ${event} within ${limit} ms`,
    };
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<NoVerdict>((resolve) => {
      timer = setTimeout(() => resolve(none), limit);
    });
    const verdict = await Promise.race([answer, late]);
    clearTimeout(timer);
    if (verdict.result === 'none') this.#log('error', `PLUGIN ${verdict.cause}`);
    return verdict;
  }

  async #call(
    member: Member,
    event: PluginEventName,
    request: EventRequest,
    env: Readonly<Record<string, string>>,
  ): Promise<MemberOutcome> {
    const { context, argv, certificate } = request;
    const call: MemberCall = {
      event,
      context,
      argv,
      env,
      deadline: this.#deadline(event, request),
      ...(certificate === undefined ? {} : { certificate }),
    };
    const started = performance.now();
    const outcome = await member.call(call);
    const ms = performance.now() - started;
    const result = outcome.result === 'later' ? 'deferred' : outcome.result;
    this.stats.add(member.name, event, result, ms);
    if (outcome.result === 'none') this.#log('error', `PLUGIN ${outcome.cause}`);
    const record = {
      time: Date.now(),
      plugin: member.name,
      event,
      context,
      argv: [member.name, ...argv],
      env,
      result,
      ms,
    };
    for (const see of this.#watchers) see(record);
    return outcome;
  }

  #deadline(event: PluginEventName, request: EventRequest): number {
    return request.deadline ?? this.#settings.deadline ?? (ofTheTunnel.has(event) ? 60_000 : 10_000);
  }

  #listeners(event: PluginEventName): Member[] {
    return this.plugins.listeners(event);
  }
}

/** For whoever asks to come in. */
function decided(answer: FinalVerdict | NoVerdict): FinalVerdict {
  return answer.result === 'none' ? { result: 'failure', cause: answer.cause } : answer;
}

/** A plugin without a verdict says no here; elsewhere it is as if it were not there. */
const failsClosed: ReadonlySet<PluginEventName> = new Set(['tls-verify', 'tls-final', 'learn-address']);
const scriptAfterSuccess: ReadonlySet<PluginEventName> = new Set(['tls-verify', 'up', 'down', 'route-predown']);
/** Nobody else says what became of them. */
const onlyWarned: ReadonlySet<PluginEventName> = new Set([
  'route-up',
  'ipchange',
  'client-disconnect',
  'learn-address',
]);
const ofTheTunnel: ReadonlySet<PluginEventName> = new Set(['up', 'down', 'route-up', 'route-predown']);

/** One request that is being answered, with what must end with it. */
class Ask {
  readonly request: EventRequest;
  readonly #answer: (verdict: EventVerdict) => void;
  readonly #ends: (() => void)[] = [];
  #over = false;

  constructor(request: EventRequest, answer: (verdict: EventVerdict) => void) {
    this.request = request;
    this.#answer = answer;
  }

  get over(): boolean {
    return this.#over;
  }

  onEnd(end: () => void): void {
    if (this.#over) end();
    else this.#ends.push(end);
  }

  readonly cancel = (): void => {
    if (this.#over) return;
    this.#over = true;
    for (const end of this.#ends.splice(0)) end();
  };

  say(verdict: EventVerdict): void {
    if (verdict.result === 'success' || verdict.result === 'failure') this.finish(verdict);
    else if (!this.#over) this.#answer(verdict);
  }

  finish(verdict: FinalVerdict): void {
    if (this.#over) return;
    this.cancel();
    this.#answer(verdict);
  }

  /** Success when all wait no more, with their configs in order; failure with the first that fails. */
  finishWhenAll(waits: readonly Promise<FinalVerdict>[], configs: () => readonly string[] = () => []): void {
    for (const wait of waits)
      void wait.then((verdict) => {
        if (verdict.result === 'failure') this.finish(verdict);
      });
    void Promise.all(waits).then(() => {
      if (this.#over) return;
      const text = configs()
        .filter((config) => config !== '')
        .map((config) => (config.endsWith('\n') ? config : `${config}\n`))
        .join('');
      this.finish(text === '' ? { result: 'success' } : { result: 'success', config: text });
    });
  }
}

/** What a plugin with event 6 (or 13) has said by its status and its file; the file's `0` wins, and its `2` over success. */
function connectState(outcome: MemberOutcome, files: ConnectFiles): FinalVerdict | { result: 'deferred' } {
  const file = files.answer();
  if (file === 'failure') return { result: 'failure', cause: 'client_connect_deferred_file says no' };
  if (outcome.result === 'deferred') return { result: 'deferred' };
  if (outcome.result !== 'success') return { result: 'failure', ...causeOf(outcome, '') };
  return file === 'deferred' ? { result: 'deferred' } : { result: 'success' };
}

function causeOf(outcome: MemberOutcome, otherwise: string): { cause?: string; reason?: string } {
  if (outcome.result === 'none') return { cause: outcome.cause };
  if (outcome.result !== 'failure') return { cause: otherwise };
  return {
    ...(outcome.cause === undefined ? {} : { cause: outcome.cause }),
    ...(outcome.reason === undefined ? {} : { reason: outcome.reason }),
  };
}
