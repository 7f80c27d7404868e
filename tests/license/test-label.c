/* SPDX-License-Identifier: Apache-2.0 */
/* The forms of sensitivity labels, and which of several labels counts. */
#include <glib.h>
#include <string.h>

#include "helper.h"
#include "license/label.h"

#define A "074e257c-5848-4582-9a6f-34a182080e71"
#define B "d9f23ae3-a239-45ea-bf23-f515f824c57b"
#define SITE "72f988bf-86f1-41af-91ab-2d7cd011db47"

#define LIST(labels)                                                                                 \
  "<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\"?>"                                    \
  "<clbl:labelList xmlns:clbl=\"http://schemas.microsoft.com/office/2020/mipLabelMetadata\">" labels \
  "</clbl:labelList>"
#define PROPERTY(name, value)                                                                                \
  "<property fmtid=\"{D5CDD505-2E9C-101B-9397-08002B2CF9AE}\" pid=\"2\" name=\"" name "\"><vt:lpwstr>" value \
  "</vt:lpwstr></property>"
#define PROPERTIES(properties)                                                                     \
  "<Properties xmlns=\"http://schemas.openxmlformats.org/officeDocument/2006/custom-properties\" " \
  "xmlns:vt=\"http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes\">" properties "</Properties>"
#define XMP(inner)                                                                                           \
  "<?xpacket begin=\"\xef\xbb\xbf\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?><x:xmpmeta xmlns:x=\"adobe:ns:meta/\">" \
  "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">" inner "</rdf:RDF></x:xmpmeta>"       \
  "<?xpacket end=\"w\"?>"

static TpdLabel *
parse (const char *text)
{
  return tpd_label_parse (text, strlen (text));
}

static void
check (const char *text, const char *id, const char *name, const char *site, const char *method, const char *set_date)
{
  g_autoptr (TpdLabel) label = parse (text);

  g_assert_nonnull (label);
  g_assert_cmpstr (label->id, ==, id);
  g_assert_cmpstr (label->name, ==, name);
  g_assert_cmpstr (label->site, ==, site);
  g_assert_cmpstr (label->method, ==, method);
  g_assert_cmpstr (label->set_date, ==, set_date);
}

static void
test_label_info (void)
{
  check (LIST ("<clbl:label id=\"{074E257C-5848-4582-9A6F-34A182080E71}\" enabled=\"1\" method=\"Privileged\" "
               "siteId=\"{" SITE "}\" contentBits=\"8\" removed=\"0\"/>"),
         A, NULL, SITE, "Privileged", NULL);
  check ("\xef\xbb\xbf" LIST ("<clbl:label id=\"{" A "}\" enabled=\"1\" removed=\"1\"/>"
                              "<clbl:label id=\"{" B "}\" enabled=\"true\" method=\"Standard\"/>") "\r\n",
         B, NULL, NULL, "Standard", NULL);
  g_assert_null (parse (LIST ("")));
  g_assert_null (parse (LIST ("<clbl:label id=\"{" A "}\" enabled=\"0\"/>")));
  g_assert_null (parse (LIST ("<clbl:label id=\"\" enabled=\"1\"/>")));
}

static void
test_document_properties (void)
{
  check (PROPERTIES (PROPERTY ("Author", "x") PROPERTY ("MSIP_Label_" A "_Enabled", "true") PROPERTY (
             "MSIP_Label_" A "_SetDate", "2023-06-13T20:21:31Z") PROPERTY ("MSIP_Label_" A "_Method", "Standard")
                         PROPERTY ("MSIP_Label_" A "_Name", "Geheim &amp; &#xe4;hnlich")
                             PROPERTY ("MSIP_Label_" A "_SiteId", SITE) PROPERTY ("MSIP_Label_" A "_ContentBits", "8")),
         A, "Geheim & \xc3\xa4hnlich", SITE, "Standard", "2023-06-13T20:21:31Z");
  /* A label that was taken off stays as a property. */
  check (PROPERTIES (PROPERTY ("MSIP_Label_" A "_Enabled", "False") PROPERTY ("MSIP_Label_" A "_Name", "old")
                         PROPERTY ("MSIP_Label_" B "_Enabled", "True") PROPERTY ("MSIP_Label_" B "_Name", "new")),
         B, "new", NULL, NULL, NULL);
  check (PROPERTIES (PROPERTY ("MSIP_Label_" A "_Name", "above") PROPERTY ("MSIP_Label_" B "_Name", "below")
                         PROPERTY ("MSIP_Label_" B "_Parent", A)),
         B, "below", NULL, NULL, NULL);
  g_assert_null (parse (PROPERTIES (PROPERTY ("Sensitivity", "Confidential"))));
  g_assert_null (parse (PROPERTIES (PROPERTY ("MSIP_Label_not-a-guid-but-just-as-long-as-one-is_Name", "x"))));
}

static void
test_xmp (void)
{
  /* As the genuine files have it. */
  check (XMP ("<rdf:Description rdf:about=\"\" xmlns:msip=\"http://www.microsoft.com/msip/1.0/\" "
              "xmlns:l=\"http://www.microsoft.com/msip/label/1.0/\" "
              "xmlns:e=\"http://www.microsoft.com/msip/label/extended/1.0/\">"
              "<msip:sensitivity>Confidential</msip:sensitivity><msip:labels><rdf:Bag>"
              "<rdf:li rdf:parseType=\"Resource\"><l:Id>" A
              "</l:Id><l:Name>Confidential</l:Name><l:Enabled>True</l:Enabled></rdf:li>"
              "<rdf:li rdf:parseType=\"Resource\"><l:Id>" B "</l:Id><l:Name>FTE</l:Name><l:Enabled>True</l:Enabled>"
              "<l:ParentId>" A "</l:ParentId><l:SiteId>" SITE
              "</l:SiteId><l:SetDate>2017-08-30T12:55:15+03:00</l:SetDate>"
              "<l:extended><rdf:Bag><rdf:li rdf:parseType=\"Resource\"><e:Vendor>MSFT</e:Vendor><e:Key>Method</e:Key>"
              "<e:Value>Manual</e:Value></rdf:li></rdf:Bag></l:extended></rdf:li>"
              "</rdf:Bag></msip:labels></rdf:Description>") "\0\0\0",
         B, "FTE", SITE, "Manual", "2017-08-30T12:55:15+03:00");
  check (XMP ("<rdf:Description xmlns:pdfx=\"http://ns.adobe.com/pdfx/1.3/\"><pdfx:MSIP_Label_" A
              "_Name>C \\ D</pdfx:MSIP_Label_" A "_Name><pdfx:MSIP_Label_" A
              "_Extended_MSFT_Method>Standard</pdfx:MSIP_Label_" A "_Extended_MSFT_Method></rdf:Description>"),
         A, "C \\ D", NULL, "Standard", NULL);
  check (
      XMP ("<rdf:Description xmlns:pdfx=\"http://ns.adobe.com/pdfx/1.3/\" pdfx:MSIP_Label_" A "_Name=\"in short\"/>"),
      A, "in short", NULL, NULL, NULL);
  /* An empty value says nothing in any of the forms: there is no label, and none before another. */
  g_assert_null (
      parse (XMP ("<rdf:Description xmlns:pdfx=\"http://ns.adobe.com/pdfx/1.3/\" pdfx:MSIP_Label_" A "_Name=\"\"/>")));
  check (XMP ("<rdf:Description xmlns:pdfx=\"http://ns.adobe.com/pdfx/1.3/\" pdfx:MSIP_Label_" A
              "_Name=\"\" pdfx:MSIP_Label_" B "_Name=\"said\"/>"),
         B, "said", NULL, NULL, NULL);
  g_assert_null (parse (XMP ("<MSIP_Label_" A "_Name/>")));
  g_assert_null (parse (PROPERTIES (PROPERTY ("MSIP_Label_" A "_Name", ""))));
  g_assert_null (parse (XMP ("<rdf:Description><a:title xmlns:a=\"urn:a\">x</a:title></rdf:Description>")));
}

static void
test_license_data (void)
{
  static const TpdAppData items[] = {
    { (char *) "LABEL", (char *) "ID", (char *) "{" A "}" },
    { (char *) "APPSPECIFIC", (char *) "Name", (char *) "no label" },
    { (char *) "LABEL", (char *) "TenantId", (char *) SITE },
    { (char *) "LABEL", (char *) "Method", NULL },
    { (char *) "LABEL", (char *) "Name", (char *) "Secret" },
  };
  static const TpdAppData nothing = { (char *) "LABEL", NULL, (char *) "no label" };
  static const TpdAppData lone = { (char *) "LABEL", NULL, (char *) B };
  g_autoptr (GPtrArray) data = g_ptr_array_new ();
  TpdLicense license = { 0 };
  g_autoptr (TpdLabel) label = NULL, bare = NULL;

  g_assert_null (tpd_label_of_license (&license));
  license.app_data = data;
  g_assert_null (tpd_label_of_license (&license));
  for (guint i = 0; i < G_N_ELEMENTS (items); i++)
    g_ptr_array_add (data, (gpointer) &items[i]);
  label = tpd_label_of_license (&license);
  g_assert_cmpstr (label->id, ==, A);
  g_assert_cmpstr (label->site, ==, SITE);
  g_assert_cmpstr (label->name, ==, "Secret");
  g_assert_null (label->method);
  g_ptr_array_set_size (data, 0);
  g_ptr_array_add (data, (gpointer) &nothing);
  g_assert_null (tpd_label_of_license (&license));
  g_ptr_array_add (data, (gpointer) &lone);
  bare = tpd_label_of_license (&license);
  g_assert_cmpstr (bare->id, ==, B);
}

static void
test_merge (void)
{
  g_autoptr (TpdLabel) label = NULL;

  tpd_label_merge (&label, NULL);
  g_assert_null (label);
  tpd_label_merge (&label, parse (LIST ("<clbl:label id=\"" A "\" method=\"Privileged\"/>")));
  tpd_label_merge (&label, parse (PROPERTIES (PROPERTY ("MSIP_Label_" B "_Name", "another"))));
  g_assert_null (label->name);
  tpd_label_merge (&label, parse (PROPERTIES (PROPERTY ("MSIP_Label_" A "_Name", "the same")
                                                  PROPERTY ("MSIP_Label_" A "_Method", "Standard"))));
  g_assert_cmpstr (label->id, ==, A);
  g_assert_cmpstr (label->name, ==, "the same");
  g_assert_cmpstr (label->method, ==, "Privileged");
}

static void
test_hostile (void)
{
  static const char *const texts[] = {
    "",
    "\xef\xbb\xbf",
    "<labelList>",
    "<!DOCTYPE a [<!ENTITY b \"c\">]><labelList><label id=\"" A "\"/></labelList>",
    "<labelList><label id=\"" A "\" name=\"\xff\"/></labelList>",
  };
  g_autoptr (GString) many = g_string_new ("<labelList>"), deep = g_string_new (NULL);
  g_autoptr (TpdLabel) label = NULL, lost = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    g_assert_null (parse (texts[i]));
  for (guint i = 0; i < 4000; i++)
    g_string_append (many, "<label id=\"" A "\" removed=\"1\"/>");
  g_string_append (many, "<label id=\"" B "\"/></labelList>");
  g_assert_null (parse (many->str));
  for (guint i = 0; i < 10000; i++)
    g_string_append (deep, "<a>");
  g_assert_null (parse (deep->str));
  /* A value without an end is left out, the label stays. */
  g_string_assign (many, "<labelList><label id=\"" A "\" name=\"");
  for (guint i = 0; i < 5000; i++)
    g_string_append_c (many, 'x');
  g_string_append (many, "\"/></labelList>");
  label = parse (many->str);
  g_assert_cmpstr (label->id, ==, A);
  g_assert_null (label->name);
  g_string_set_size (many, TPD_LABEL_TEXT_MAX + 1);
  g_assert_null (tpd_label_parse (many->str, many->len));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/label/label-info", test_label_info);
  g_test_add_func ("/label/document-properties", test_document_properties);
  g_test_add_func ("/label/xmp", test_xmp);
  g_test_add_func ("/label/license-data", test_license_data);
  g_test_add_func ("/label/merge", test_merge);
  g_test_add_func ("/label/hostile", test_hostile);
  return g_test_run ();
}
