// What the rules ask of an expression, by the grammar of Prometheus itself.
import { parser } from '@prometheus-io/lezer-promql';
import type { Variable } from './model';

type Tree = ReturnType<typeof parser.parse>;
type SyntaxNode = Tree['topNode'];

/** Stands for `$__rate_interval`: no expression has it by chance. */
const RATE_INTERVAL = '191s';
const GLOBALS: Readonly<Record<string, string>> = { __rate_interval: RATE_INTERVAL, __range: '7207s', __range_s: '7207', __interval: '61s' };

export interface Matcher { readonly label: string; readonly operator: string; readonly value: string }
export interface Selector {
  readonly text: string;
  readonly metric: string;
  readonly matchers: readonly Matcher[];
  /** The range, if it has one: `5m`. */
  readonly range?: string;
  /** The function whose argument it is, if it is one. */
  readonly called?: string;
}

/** An expression that was read, or why it could not be. */
export type Parsed = { readonly selectors: readonly Selector[] } | { readonly error: string };

/** `$name`, `${name}`, `[[name]]`. */
const VARIABLE = /\$\{(\w+)(?::\w+)?\}|\[\[(\w+)\]\]|\$(\w+)/g;

/** Reads `expr`. Its variables are those of Grafana and of the board; any other is an error. */
export function parse(expr: string, known: readonly Variable[]): Parsed {
  const unknown: string[] = [];
  const text = expr.replace(VARIABLE, (_, braced: string | undefined, squared: string | undefined, plain: string | undefined) => {
    const name = braced ?? squared ?? plain ?? '';
    if (GLOBALS[name] !== undefined) return GLOBALS[name];
    if (!known.some((it) => it.name === name)) unknown.push(name);
    // In a matcher the name must be seen again.
    return `VAR_${name}`;
  });
  if (unknown.length > 0) return { error: `there is no variable ${unknown.join(', ')}` };
  if (text.trim() === '') return { error: 'it is empty' };
  const tree = parser.parse(text);
  const error = firstError(tree);
  if (error !== undefined) return { error: `it is no PromQL at ${JSON.stringify(text.slice(error, error + 20))}` };
  const selectors: Selector[] = [];
  tree.iterate({ enter: (it) => { if (it.name === 'VectorSelector') selectors.push(selector(it.node, text)); } });
  return { selectors };
}

function firstError(tree: Tree): number | undefined {
  let at: number | undefined;
  tree.iterate({ enter: (it) => { if (it.type.isError) at ??= it.from; } });
  return at;
}

function selector(node: SyntaxNode, text: string): Selector {
  const of = (it: SyntaxNode | null) => (it === null ? '' : text.slice(it.from, it.to));
  const metric = of(node.getChild('Identifier'));
  const matchers: Matcher[] = [];
  for (const it of descendants(node, 'UnquotedLabelMatcher')) {
    matchers.push({
      label: of(it.getChild('LabelName')), operator: of(it.getChild('MatchOp')), value: unquoted(of(it.getChild('StringLiteral'))),
    });
  }
  const matrix = node.parent?.name === 'MatrixSelector' ? node.parent : null;
  const range = matrix === null ? undefined : of(matrix.getChild('DurationExpr'));
  const outer = (matrix ?? node).parent;
  const call = outer?.name === 'FunctionCallBody' ? outer.parent : null;
  const called = of(call?.getChild('FunctionIdentifier') ?? null);
  return { text: of(node), metric, matchers, ...(range === undefined ? {} : { range }), ...(called === '' ? {} : { called }) };
}

function descendants(node: SyntaxNode, name: string): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  node.cursor().iterate((it) => { if (it.name === name) found.push(it.node); });
  return found;
}

function unquoted(text: string): string {
  return text.slice(1, -1).replace(/VAR_(\w+)/g, '$$$1');
}

/** Whether a range is `$__rate_interval`. */
export function isRateInterval(range: string): boolean {
  return range === RATE_INTERVAL;
}
