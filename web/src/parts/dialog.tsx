import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';

/** Something that lies over the page until it is done with. The browser keeps the focus in it, and closes it with Escape. */
export function Dialog(props: { label: string; class?: string; onClose: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  // Before the next key: it may be the one that closes it.
  useLayoutEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog
      ref={dialog}
      class={props.class}
      aria-label={props.label}
      onClose={props.onClose}
      onClick={(it) => {
        if (it.target === dialog.current) dialog.current?.close();
      }}
    >
      {props.children}
    </dialog>
  );
}
