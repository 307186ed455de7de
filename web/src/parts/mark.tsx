/** A state as a shape and a colour, so that it can be told without colours. */

const SHAPES = {
  success: <path d="M3.2 8.4l3.1 3.1 6.5-7" class="stroke" />,
  failure: <path d="M4 4l8 8M12 4l-8 8" class="stroke" />,
  running: (
    <>
      <circle cx="8" cy="8" r="5.5" class="stroke faint" />
      <path d="M8 2.5a5.5 5.5 0 0 1 5.5 5.5" class="stroke spin" />
    </>
  ),
  cancelled: <path d="M3.5 8h9" class="stroke" />,
  other: <circle cx="8" cy="8" r="2.5" class="solid" />,
  alive: <circle cx="8" cy="8" r="5" class="solid" />,
  silent: <circle cx="8" cy="8" r="4.5" class="stroke" />,
  down: <path d="M8 2.2l6 11H2z" class="solid" />,
};

export type State = keyof typeof SHAPES;

/** With an empty label it is an ornament beside the word. */
export function Mark({ state, label = state }: { state: State; label?: string }) {
  const meaning = label ? ({ role: 'img', 'aria-label': label } as const) : ({ 'aria-hidden': true } as const);
  return (
    <svg class={`mark ${state}`} viewBox="0 0 16 16" {...meaning}>
      {SHAPES[state]}
    </svg>
  );
}
