// Reads a JSON array of custom resources from standard input, and says what is wrong with them; exit code 1 when anything is. A field
// that the definition does not have is wrong too: it is one at which the validator never looks.
import { readFileSync } from "node:fs";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject";
import { TriggerAuthentication } from "@kubernetes-models/keda/keda.sh/v1alpha1/TriggerAuthentication";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";

const kinds = { ScaledObject, TriggerAuthentication, PrometheusRule, ServiceMonitor };

// `value`, which strikes a path from `unseen` when it is looked at.
function watched(value, path, unseen) {
  if (typeof value !== "object" || value === null) return value;
  const parts = Object.entries(value).map(([key, part]) => {
    unseen.add(`${path}.${key}`);
    return [key, watched(part, `${path}.${key}`, unseen)];
  });
  const known = Array.isArray(value) ? parts.map(([, part]) => part) : Object.fromEntries(parts);
  return new Proxy(known, {
    get(target, key) {
      if (typeof key === "string") unseen.delete(`${path}.${key}`);
      return target[key];
    },
  });
}

for (const resource of JSON.parse(readFileSync(0, "utf8"))) {
  const name = `${resource.kind} ${resource.metadata?.name}`;
  const Kind = kinds[resource.kind];
  try {
    if (!Kind) throw new Error("there is no definition of this kind");
    const { apiVersion } = new Kind({});
    if (apiVersion !== resource.apiVersion) throw new Error(`${resource.apiVersion} should be ${apiVersion}`);
    const unseen = new Set();
    const object = new Kind(resource);
    // Not before, since the constructor copies what it is given, and looks at everything.
    object.spec = watched(resource.spec, "spec", unseen);
    object.validate();
    if (unseen.size > 0) throw new Error(`unknown: ${[...unseen].join(", ")}`);
    console.log(`${name}: valid`);
  } catch (error) {
    console.error(`${name}: ${error.message}`);
    process.exitCode = 1;
  }
}
