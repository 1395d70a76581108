// Reads a JSON array of custom resources from standard input, and says what is wrong with them; exit code 1 when anything is.
import { readFileSync } from "node:fs";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject";
import { TriggerAuthentication } from "@kubernetes-models/keda/keda.sh/v1alpha1/TriggerAuthentication";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";

const kinds = { ScaledObject, TriggerAuthentication, PrometheusRule, ServiceMonitor };
for (const resource of JSON.parse(readFileSync(0, "utf8"))) {
  const name = `${resource.kind} ${resource.metadata?.name}`;
  const Kind = kinds[resource.kind];
  try {
    if (!Kind) throw new Error("there is no definition of this kind");
    const { apiVersion } = new Kind({});
    if (apiVersion !== resource.apiVersion) throw new Error(`${resource.apiVersion} should be ${apiVersion}`);
    new Kind(resource).validate();
    console.log(`${name}: valid`);
  } catch (error) {
    console.error(`${name}: ${error.message}`);
    process.exitCode = 1;
  }
}
