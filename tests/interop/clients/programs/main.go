// A client of openapi-generator's `go`.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	credsmith "credsmith.example/client"
)

func client(token string) *credsmith.APIClient {
	configuration := credsmith.NewConfiguration()
	configuration.Servers = credsmith.ServerConfigurations{{URL: os.Getenv("CREDSMITH_URL")}}
	configuration.AddDefaultHeader("Authorization", "Bearer "+token)
	return credsmith.NewAPIClient(configuration)
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func main() {
	ctx, issuer := context.Background(), os.Getenv("CREDSMITH_ISSUER")
	user := client(os.Getenv("CREDSMITH_TOKEN")).WattsAPI
	services, _, err := user.ListServices(ctx, issuer).Execute()
	must(services, err)
	names := []string{}
	for _, service := range services.ServiceList {
		names = append(names, service.Id)
	}
	wanted := credsmith.WattsRequest{ServiceId: "info", Params: map[string]interface{}{}}
	issued, _, err := user.RequestCredential(ctx, issuer).WattsRequest(wanted).Execute()
	must(issued, err)
	id := issued.Issued.Credential.Id
	revoked, _, err := user.RevokeCredential(ctx, issuer, id).Execute()
	must(revoked, err)

	member := client(os.Getenv("CREDSMITH_VAULT_TOKEN"))
	companies, _, err := member.CompanyAPI.ListCompanies(ctx).Search("acme").Execute()
	must(companies, err)
	company := companies.Data[0]
	credentials, _, err := member.CredentialAPI.ListCredentialsOfCompany(ctx, company.Id).Execute()
	must(credentials, err)
	revealed, _, err := member.CredentialAPI.RevealSecureValues(ctx, credentials.Data[0].Id).Execute()
	must(revealed, err)
	text := must(json.Marshal(revealed.Data))
	fmt.Println(string(must(json.Marshal(map[string]interface{}{
		"services": names,
		"issued":   len(id) > 0,
		"revoked":  revoked.Result,
		"company":  company.Name,
		"revealed": strings.Contains(string(text), "demo-"),
	}))))
}
