# Pushes with the official client, unmodified. usage: clients.py ADDRESS TOKEN
import sys
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.exposition import (
    basic_auth_handler, delete_from_gateway, push_to_gateway, pushadd_to_gateway)

address, token = sys.argv[1:]


def handler(url, method, timeout, headers, data):
    return basic_auth_handler(url, method, timeout, headers, data, 'anybody', token)


def registry(value):
    res = CollectorRegistry()
    Gauge('last_success', 'When it last worked', registry=res).set(value)
    Counter('rows', 'Rows', ['table'], registry=res).labels('a "b"\n').inc(3)
    Histogram('took_seconds', 'How long it took', registry=res, buckets=[1, 2]).observe(1.5)
    Summary('size_bytes', 'How large', registry=res).observe(7)
    return res


push_to_gateway(address, job='python', registry=registry(1), handler=handler)
extra = CollectorRegistry()
Gauge('extra', 'More', registry=extra).set(2)
pushadd_to_gateway(address, job='python', registry=extra, handler=handler)
keys = {'path': 'a/b', 'empty': '', 'space': 'a b', 'umlaut': 'ä'}
pushadd_to_gateway(address, job='with/slash', registry=registry(3), grouping_key=keys, handler=handler)
for compression in ['gzip', 'snappy']:
    push_to_gateway('http://' + address + '/', job=compression, registry=registry(4), handler=handler, compression=compression)
push_to_gateway(address, job='gone', registry=registry(5), handler=handler)
delete_from_gateway(address, job='gone', handler=handler)
try:
    push_to_gateway(address, job='nobody', registry=registry(6))
    sys.exit('pushed without a token')
except Exception as error:
    if '401' not in str(error):
        raise
