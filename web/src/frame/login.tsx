import { useState } from 'preact/hooks';
import { connect } from '../state/feed';
import { login } from '../state/session';
import { Trouble } from '../parts/basics';

/** The server wants to know who is there. The token is exchanged for a session, and not kept. */
export function Login() {
  const [token, setToken] = useState('');
  const [error, setError] = useState('');
  const submit = async (event: Event) => {
    event.preventDefault();
    try {
      await login(token.trim());
      connect();
    } catch (it) {
      setError(it instanceof Error ? it.message : String(it));
    }
  };
  return (
    <main class="login">
      <form onSubmit={(it) => void submit(it)}>
        <h1>Observatory</h1>
        <p>This server asks for a token with the role <code>read</code>.</p>
        <label>
          Token
          <input
            type="password"
            autocomplete="current-password"
            required
            autofocus
            value={token}
            onInput={(it) => setToken(it.currentTarget.value)}
          />
        </label>
        <button class="primary">Log in</button>
        <Trouble message={error} />
        <p class="dim">
          <code>observatory token create wall --role read</code> makes one.
        </p>
      </form>
    </main>
  );
}
