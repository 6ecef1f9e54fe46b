/**
 * Single sign-on: the client is sent to its browser (AUTH_PENDING, WEB_AUTH), logs in at an OpenID Connect provider, and
 * is let in when the provider names the user that it claims to be. Its argument is a JSON file:
 *
 *     { "issuer": "https://login.example.org", "clientId": "vpn", "clientSecret": "…",
 *       "callback": "https://vpn.example.org:9000/callback", "listen": 9000, "claim": "preferred_username",
 *       "timeout": 120, "insecure": false }
 *
 * `callback` is registered at the provider and leads to `listen` on this machine (through a proxy that speaks TLS).
 * Without a name of its own, the user is the certificate's common name. Authorization code flow with PKCE and state.
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { defer, definePlugin, type Failure, failure, type Success, success, webAuth } from '@seikan/plugin-sdk';
import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  type Configuration,
  calculatePKCECodeChallenge,
  discovery,
  randomPKCECodeVerifier,
  randomState,
} from 'openid-client';

interface Settings {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret?: string;
  readonly callback: string;
  readonly listen: number;
  readonly claim?: string;
  readonly timeout?: number;
  /** Allows http: for the issuer; for tests. */
  readonly insecure?: boolean;
}

interface Login {
  readonly user: string;
  readonly verifier: string;
  readonly finish: (result: Success | Failure) => void;
}

class SignOn {
  readonly #settings: Settings;
  readonly #provider: Configuration;
  readonly #server: Server;
  readonly #logins = new Map<string, Login>();

  private constructor(settings: Settings, provider: Configuration) {
    this.#settings = settings;
    this.#provider = provider;
    this.#server = createServer((request, response) => void this.#callback(request, response));
  }

  static async open(settings: Settings): Promise<SignOn> {
    const options = settings.insecure === true ? { execute: [allowInsecureRequests] } : {};
    const provider = await discovery(
      new URL(settings.issuer),
      settings.clientId,
      settings.clientSecret,
      undefined,
      options,
    );
    const signOn = new SignOn(settings, provider);
    await new Promise<void>((resolve, reject) => {
      signOn.#server.once('error', reject);
      signOn.#server.listen(settings.listen, resolve);
    });
    return signOn;
  }

  get seconds(): number {
    return this.#settings.timeout ?? 120;
  }

  /** Waits for somebody to sign in. The state goes to the browser, the verifier stays here. */
  begin(user: string): { state: string; result: Promise<Success | Failure> } {
    const state = randomState();
    const verifier = randomPKCECodeVerifier();
    const result = new Promise<Success | Failure>((resolve) => {
      const timer = setTimeout(() => finish(failure('Nobody signed in')), this.seconds * 1_000);
      const finish = (outcome: Success | Failure): void => {
        clearTimeout(timer);
        this.#logins.delete(state);
        resolve(outcome);
      };
      this.#logins.set(state, { user, verifier, finish });
    });
    return { state, result };
  }

  async close(): Promise<void> {
    for (const login of this.#logins.values()) login.finish(failure('The server stops'));
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** The short link that goes to the client: a control message has no room for a whole authorization request. */
  startUrl(state: string): string {
    return new URL(`start?state=${encodeURIComponent(state)}`, this.#settings.callback).href;
  }

  async #authorization(state: string, verifier: string): Promise<string> {
    return buildAuthorizationUrl(this.#provider, {
      redirect_uri: this.#settings.callback,
      scope: 'openid profile email',
      code_challenge: await calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
    }).href;
  }

  async #callback(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.#settings.callback);
    const state = url.searchParams.get('state') ?? '';
    const login = this.#logins.get(state);
    if (login === undefined) return answer(response, 404, 'This sign-on is over. Connect again.');
    if (url.pathname.endsWith('/start')) {
      response.writeHead(302, { location: await this.#authorization(state, login.verifier) }).end();
      return;
    }
    try {
      const tokens = await authorizationCodeGrant(this.#provider, url, {
        pkceCodeVerifier: login.verifier,
        expectedState: state,
      });
      const name = tokens.claims()?.[this.#settings.claim ?? 'preferred_username'];
      if (name !== login.user) {
        console.warn(`${login.user} wanted in, ${JSON.stringify(name)} signed in`);
        login.finish(failure('You signed in as somebody else'));
        return answer(response, 403, 'You signed in as somebody else.');
      }
      login.finish(success());
      return answer(response, 200, 'You are signed in. Return to your VPN.');
    } catch (error) {
      console.warn(`${login.user}: ${error instanceof Error ? error.message : String(error)}`);
      login.finish(failure('The sign-on failed'));
      return answer(response, 403, 'The sign-on failed.');
    }
  }
}

export default definePlugin<SignOn>({
  name: 'oidc',
  async open({ argv }) {
    if (argv[1] === undefined) throw new Error('usage: plugin oidc.so SETTINGS.json');
    const settings = JSON.parse(readFileSync(argv[1], 'utf8')) as Settings;
    return { events: ['auth-user-pass-verify'], handle: await SignOn.open(settings) };
  },
  event(event, signOn) {
    if (event.type !== 'auth-user-pass-verify') return success();
    if (!(event.env['IV_SSO'] ?? '').split(',').includes('webauth'))
      return failure('Your client cannot open a browser');
    const { result, state } = signOn.begin(event.username === '' ? (event.commonName ?? '') : event.username);
    return defer(result, webAuth(signOn.startUrl(state), signOn.seconds));
  },
  close: (signOn) => signOn.close(),
});

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
}
