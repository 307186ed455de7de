// Pushes with prometheus-cpp as it is. Arguments: host, port, token.
#include <prometheus/counter.h>
#include <prometheus/gateway.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <cstdlib>
#include <iostream>
#include <memory>

static void done(int status, const char* what) {
  if (status < 200 || status > 299) {
    std::cerr << what << ": " << status << std::endl;
    std::exit(1);
  }
}

int main(int, char** arguments) {
  auto registry = std::make_shared<prometheus::Registry>();
  prometheus::BuildCounter().Name("rows_total").Help("Rows").Register(*registry).Add({{"table", "a \"b\"\n"}}).Increment(3);
  prometheus::BuildGauge().Name("last_success").Help("When").Register(*registry).Add({}).Set(1);
  auto& took = prometheus::BuildHistogram().Name("took_seconds").Help("How long").Register(*registry);
  took.Add({}, prometheus::Histogram::BucketBoundaries{1, 5}).Observe(2);
  auto more = std::make_shared<prometheus::Registry>();
  prometheus::BuildGauge().Name("extra").Help("More").Register(*more).Add({}).Set(2);

  auto gateway = [&](const char* job, const prometheus::Labels& labels) {
    return std::make_unique<prometheus::Gateway>(arguments[1], arguments[2], job, labels, "user", arguments[3]);
  };
  // Its PushAdd is a PUT and its Push a POST, the other way round than elsewhere.
  auto first = gateway("cpp", {{"region", "eu"}});
  first->RegisterCollectable(registry);
  done(first->PushAdd(), "put");
  auto second = gateway("cpp", {{"region", "eu"}});
  second->RegisterCollectable(more);
  done(second->Push(), "post");
  auto gone = gateway("gone", {});
  gone->RegisterCollectable(more);
  done(gone->Push(), "push to be deleted");
  done(gone->Delete(), "delete");
}
