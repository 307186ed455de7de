/** The frame of a page: its head, what went wrong, and either what there is, or how something gets there. */

import type { ComponentChildren } from 'preact';
import { origin } from '../lib/curl';
import { Card, Empty, Head, Trouble } from './basics';

export interface None {
  /** What there would be. */
  readonly of: string;
  /** Why there is none, and what makes it. */
  readonly title: string;
  /** An event that does, as JSON. */
  readonly event?: string;
  readonly command?: string;
}

export function Page(props: { title: string; tools?: ComponentChildren; error: string; empty: boolean; none: None; children: ComponentChildren }) {
  const { of, title, event, command = event && sending(event) } = props.none;
  return (
    <>
      <Head title={props.title}>{props.tools}</Head>
      <Trouble message={props.error} />
      {props.empty ? (
        <Card title={of}>
          <Empty title={title} {...(command ? { command } : {})} />
        </Card>
      ) : (
        props.children
      )}
    </>
  );
}

/** The command that sends this event. */
export function sending(event: string): string {
  return `curl '${origin()}/api/v1/events' -H 'Content-Type: application/json' \\\n  -d '${event}'`;
}
