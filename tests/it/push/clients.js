// Pushes with prom-client, unmodified. usage: clients.js MODULES URL TOKEN
const [modules, url, token] = process.argv.slice(2);
const client = require(modules);

async function main() {
  const register = new client.Registry();
  new client.Gauge({ name: 'last_success', help: 'When it last worked', registers: [register] }).set(1);
  const rows = new client.Counter({ name: 'rows_total', help: 'Rows', labelNames: ['table'], registers: [register] });
  rows.inc({ table: 'a' }, 3);
  new client.Histogram({ name: 'took_seconds', help: 'How long', buckets: [1, 2], registers: [register] }).observe(1.5);
  const headers = { Authorization: 'Bearer ' + token };
  const gateway = new client.Pushgateway(url + '/', { headers }, register);
  const must = async (what) => {
    const { resp } = await what;
    if (resp.statusCode >= 300) throw new Error('answered ' + resp.statusCode);
  };
  await must(gateway.push({ jobName: 'node', groupings: { path: 'a/b', empty: '' } }));
  await must(gateway.pushAdd({ jobName: 'node js' }));
  await must(gateway.push({ jobName: 'gone' }));
  await must(gateway.delete({ jobName: 'gone' }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
