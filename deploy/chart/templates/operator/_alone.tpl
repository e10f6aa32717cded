{{/*
One operator looks after all A3sBoxes of a cluster: two would undo what the other has done. So the role that lets it has one name
in every release and in deploy/operator, and whoever was bound last has the rights, however it was installed.
*/}}
{{- define "a3s-box.operator.role" -}}
a3s-box-operator
{{- end -}}

{{/* Before anything is written, in words that say more than Helm's own. Where nothing is asked (helm template) nothing is there; where
roles are somebody else's to give (rbac.create) it is theirs to choose, and who installs may not be allowed to look. */}}
{{- define "a3s-box.operator.alone" -}}
{{- with lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" (include "a3s-box.operator.role" .) -}}
{{- $by := default (dict) .metadata.annotations -}}
{{- $name := get $by "meta.helm.sh/release-name" -}}
{{- $namespace := get $by "meta.helm.sh/release-namespace" -}}
{{- if not $name -}}
{{- fail "operator.enabled: an operator that was applied by hand (deploy/operator) looks after every A3sBox of this cluster. Leave operator.enabled false, or first: kubectl delete -f deploy/operator/deployment.yaml -f deploy/operator/rbac.yaml" -}}
{{- else if or (ne $name $.Release.Name) (ne $namespace $.Release.Namespace) -}}
{{- fail (printf "operator.enabled: the operator of release %s in namespace %s looks after every A3sBox of this cluster, those of this namespace too. Leave operator.enabled false here, or set it false there first" $name $namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
