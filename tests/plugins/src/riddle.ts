/** A plugin that asks whoever logs in a question, and lets in who knows: the answer comes as an event of its own. */
import { challenge, defer, definePlugin, failure, success } from '@seikan/plugin-sdk';

type Verdict = ReturnType<typeof success> | ReturnType<typeof failure>;

const riddle = definePlugin({
  name: 'riddle',
  open: () => ({ events: ['auth-user-pass-verify', 'client-crresponse'], handle: undefined }),
  client: (): { answer: (verdict: Verdict) => void } => ({ answer: () => undefined }),
  event({ client, ...event }) {
    if (event.type === 'client-crresponse') {
      console.log(`answer ${event.response} of client ${client.id}`);
      client.state.answer(event.response === 'Valletta' ? success() : failure('That is not it'));
      return success();
    }
    const answer = new Promise<Verdict>((resolve) => {
      client.state.answer = resolve;
    });
    return defer(answer, challenge('Capital of Malta?', 30, true));
  },
});

export default riddle;
