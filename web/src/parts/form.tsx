/** Forms: a label, a control, what it is for, and what the server says is wrong with it, each beside the other. */

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { ApiError, words, type Fault } from '../api/http';
import { Trouble } from './basics';
import { Dialog } from './dialog';

/** One field of a form, as the server names it. */
export interface FieldSpec {
  readonly name: string;
  readonly label: string;
  readonly type?: 'text' | 'number' | 'area' | 'secret' | 'check' | 'choice';
  readonly options?: readonly string[];
  readonly placeholder?: string;
  readonly hint?: string;
  /** As wide as the form. */
  readonly wide?: boolean;
}

export function Field(props: { spec: FieldSpec; value: string; faults: readonly Fault[]; onChange: (value: string) => void; autofocus?: boolean }) {
  const { spec, value, faults, onChange } = props;
  const id = `field-${spec.name.replace(/\W/g, '-')}`;
  const wrong = faults.filter((it) => it.field === spec.name || it.field.startsWith(`${spec.name}.`) || it.field.startsWith(`${spec.name}[`));
  const shared = {
    id,
    'aria-invalid': wrong.length > 0,
    'aria-describedby': `${id}-note`,
    placeholder: spec.placeholder,
    autofocus: props.autofocus,
  };
  if (spec.type === 'check') {
    return (
      <div class="field check">
        <label>
          <input type="checkbox" id={id} checked={value === 'true'} onChange={(it) => onChange(String(it.currentTarget.checked))} /> {spec.label}
        </label>
        <Note id={id} spec={spec} wrong={wrong} />
      </div>
    );
  }
  return (
    <div class={`field ${spec.wide || spec.type === 'area' ? 'wide' : ''}`}>
      <label for={id}>{spec.label}</label>
      {spec.type === 'choice' ? (
        <select {...shared} value={value} onChange={(it) => onChange(it.currentTarget.value)}>
          {spec.options?.map((it) => (
            <option key={it} value={it}>
              {it || '–'}
            </option>
          ))}
        </select>
      ) : spec.type === 'area' ? (
        <textarea {...shared} rows={Math.min(8, Math.max(2, value.split('\n').length))} spellcheck={false} value={value} onInput={(it) => onChange(it.currentTarget.value)} />
      ) : (
        <Line {...shared} secret={spec.type === 'secret'} decimal={spec.type === 'number'} value={value} onInput={(it: Typed) => onChange(it.currentTarget.value)} />
      )}
      <Note id={id} spec={spec} wrong={wrong} />
    </div>
  );
}

type Typed = { readonly currentTarget: HTMLInputElement };

/** One line of text. What is secret is not shown to who looks on. */
function Line({ secret, decimal, ...rest }: { secret: boolean; decimal: boolean; value: string; onInput: (it: Typed) => void }) {
  if (secret) return <input {...rest} type="password" autocomplete="new-password" spellcheck={false} />;
  return <input {...rest} type="text" inputMode={decimal ? 'decimal' : 'text'} autocomplete="off" spellcheck={false} />;
}

function Note({ id, spec, wrong }: { id: string; spec: FieldSpec; wrong: readonly Fault[] }) {
  return (
    <p id={`${id}-note`} class={wrong.length > 0 ? 'note wrong' : 'note'} role={wrong.length > 0 ? 'alert' : undefined}>
      {wrong.length > 0 ? wrong.map((it) => it.reason).join('; ') : spec.hint}
    </p>
  );
}

/** What is wrong with no field that is shown. */
export function rest(message: string, faults: readonly Fault[], shown: readonly FieldSpec[]): string {
  const known = (it: Fault) => shown.some(({ name }) => it.field === name || it.field.startsWith(`${name}.`) || it.field.startsWith(`${name}[`));
  if (faults.length === 0) return message;
  return faults
    .filter((it) => !known(it))
    .map((it) => `${it.field}: ${it.reason}`)
    .join('; ');
}

/** What came of sending something: at work, and what was wrong. */
export function useSending() {
  const [busy, setBusy] = useState(false);
  const [message, setMessage] = useState('');
  const [faults, setFaults] = useState<readonly Fault[]>([]);
  const run = async (work: () => Promise<void>) => {
    setBusy(true);
    try {
      await work();
      setMessage('');
      setFaults([]);
    } catch (it) {
      setMessage(words(it));
      setFaults(it instanceof ApiError ? it.fields : []);
    }
    setBusy(false);
  };
  /** What was wrong with a field that is being changed is said no more. */
  const forget = (name: string) => {
    const left = faults.filter((it) => it.field !== name);
    if (left.length === faults.length) return;
    setFaults(left);
    if (left.length === 0) setMessage('');
  };
  return { busy, message, faults, run, forget };
}

/** Asks before something is done that cannot be undone, or for what is to be said with it. */
export function Ask(props: { title: string; action: string; danger?: boolean; onDo: () => Promise<unknown>; onClose: () => void; children?: ComponentChildren }) {
  const { busy, message, run } = useSending();
  return (
    <Dialog label={props.title} class="ask" onClose={props.onClose}>
      <form
        onSubmit={(it) => {
          it.preventDefault();
          void run(async () => {
            await props.onDo();
            props.onClose();
          });
        }}
      >
        <h2>{props.title}</h2>
        {props.children}
        <Trouble message={message} />
        <div class="buttons">
          <button type="button" onClick={props.onClose} autofocus={props.danger}>
            Cancel
          </button>
          <button class={props.danger ? 'danger' : 'primary'} disabled={busy}>
            {props.action}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
