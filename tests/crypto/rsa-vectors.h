/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA signatures made once with the openssl tool (3.0) over MESSAGE: three
 * throw-away keys, PKCS#1 v1.5. FORGED_A is the cube root of an encoding with a
 * short filler and garbage at its end; OVER_A is SHA1_A plus the modulus;
 * NO_NULL_B is a proper signature whose DigestInfo lacks the NULL parameters.
 */
#pragma once

#define MESSAGE "Fair winds, said the licensor."
#define MESSAGE_SHA1 "8018b13a8cb58969d03681daf63d71da890f899e"
#define MESSAGE_SHA256 "d5c8da01474a99c87a468c7462ee15e11b0da4e7b0fef236282f1c4b55445703"

/* 2048 bits, exponent 3 */
#define MODULUS_A                                                                                    \
  "b39ffdaef8526f839f1b29c14424b9d64a8ed140da8231ec0d3853e837374b8f386342897decfd4a573276e9df6c4e50" \
  "7c59532dfa67963c011194d05ea65eceb564cb6911982a9d72ec67e07507e5eb8a46abaceec0a6122750f2f1eaeef760" \
  "2222074d36629c936ca528bd2a727662222aa9d3dc79dfb6c3d5fe5f5c6ed968a58ffa019b30862adf01505bd0488d41" \
  "c6bc08b28e59dfcd14bf4bdf9ce6d8c6c3f746d784596dd40bfdf0e6060bc1b2fe61a31fad3f1cc0ea85e45376e33ee8" \
  "db7d0165756d4b95348300624fcef43b806ae78b22c217a63ca079550615a448817f300ca739d8b8ad51d46930cf0892" \
  "8c5fca97889e2a5adacf3ac18a5f38ef"

#define FINGERPRINT_A "9cafe38c2d06f9c85c0c537cb28b8d256bfb8a7a959f152229c2eb51244a8037"

#define SHA1_A                                                                                       \
  "295f91cbe9677a67ded1428d142a5958cca0a0ad4a936474f37b3078a8ab58a97cea4945abc00568cbd40a0d8bd86649" \
  "70989f4709af19dc207e8984e2569eed0d995ab490d17755295222e96918ca6318d64f71fd821a3704acbc2433aa253e" \
  "e543e46fb485b9404e2dbec0891e660d220f0586ebe509cd0a1282877a1a0e993259f1c7a723e21e619c965e1a2b73f8" \
  "c75822263f08009a5bd215e49c8590cbc5a716f2fc02787df4d2a7b1e9df5641c05689cc1eb20463a0823209ed0d624c" \
  "dcddcc06738d2c974cd44ccdfbeea4e33f3bdbd7601d543c97faa9995c7cccef67935fbaa8b907e27cee898433e9ddac" \
  "bd2df6579acabde4b6d7a2a310ba6b61"

#define SHA256_A                                                                                     \
  "3a92c0b03334b28e9c4a3f2db01530767c681b9c051d840e0ff55216ee72746a792b5101ec2b5c46f94096208344a15a" \
  "a9943a9e2bda2baa5ac813b7d221c76c9f96b4d0ddd0e9d838b30f3811faff2e26803da3f33a8513206bed60ff492a27" \
  "cd657a521e01873da04822fdadc4cc868381556fdd841ce827498bfa3e1e2ea9dc8d05d1ce5dfcd7a16ad409551ea938" \
  "446ca9087b0c57a0a9a05294212f3ccc9dc6d9698dd552834d20939b19c0404a54e787ea7bf833b1f4e783fbd9be7c81" \
  "7c241a80730e483b18e9a40a08d401ec13004c39e4f4e7be8e875939139f20cfad1c1d3efafb44104e556403d8e00a17" \
  "2b26a13874d7184501a5a2907fc6dd41"

/* 1024 bits, exponent 65537 */
#define MODULUS_B                                                                                    \
  "a4a5c2778c3a0767f5e2d14dedcfff6c5ad2510e8e4a5ea2f86e926218c6600a0de57fd0bcf2c8dbf29079215122c07f" \
  "1bfc6b2d229443caaaa4936de9f3c736cb9670c3f3e9a2675e661912e9fe59f9eb69f72cf1965dbdcefecd69bec5243d" \
  "b80b4a7808299ea94631eea1bc8f50f35270f8f67a93e6cc73c36ab7711fd4f5"

#define FINGERPRINT_B "aef2e0b3aa633405caf01beb4b9cdce12a7fe25506964dd75621d9338d629e60"

#define SHA1_B                                                                                       \
  "8857ee0a5f5fac67db81d4b36616b1551d6852f96643dd36941382234a6073f1e8c368dda31380407cd05681fb50aa0b" \
  "62f2720c32cb95804943128aaf50551b5f9e6dc7b2fa66909099bb1826a91219e4c184b3dda7e6630bd6f1bf916e269d" \
  "54dab81840e072579a8c1c594df214884480da3438712b148696736b26d98d55"

#define SHA256_B                                                                                     \
  "08651f053df4ae0b16f2b8dd94b9169a09601ec64fd70f870d4f3e8a173f5d83e281cc72ca7124f59bbbb7b7fb104ca7" \
  "3f578e2fc73fb3da43960edc37dd4612e59b4b9f17807245cad6960dd85f065bc5fdef540d75c3d0722daf9b73c7e647" \
  "31988d9fc60ebe3af4dd51d3598bb30176468cac8b7bb72f6abbc23842e1538d"

/* 512 bits, exponent 65537 */
#define MODULUS_C                                                                                    \
  "e0830128354e4ed3395ed6859b740295db2dc406a614355bc4234f78c8df41c9c7b453bf8109fbeec1e7fe8ac419e20c" \
  "2e8b9c12a95d0a287e1580468b78f131"

#define FINGERPRINT_C "1cfad73aa9d3393d37db434066c169a01512ae213b5d74df436bb5ddc0a74b75"

#define SHA1_C                                                                                       \
  "2c8566b20a2475fb807bfcb04b481acd8ea812f88338579260e07e497f3364c9e9c4d2f24f382459fe80c2780ca16625" \
  "0951e711e41a1936d7118bbd3cfbb9d3"

#define SHA256_C                                                                                     \
  "238e2b143e38f0e3417431d18aa1cf15f22d51426740a23c89063087847fde138e797869a91ee00c3e61f6e2b3a2d64a" \
  "84cab4180013bd312509836f8e44b91c"

#define OVER_A                                                                                       \
  "dcff8f7ae1b9e9eb7dec6c4e584f132f172f71ee2515966100b38460dfe2a438b54d8bcf29ad02b3230680f76b44b499" \
  "ecf1f2750416b01821901e5540fcfdbbc2fe261da269a1f29c3e8ac9de20b04ea31cfb1eec42c0492bfdaf161e991c9f" \
  "0765ebbceae855d3bad2e77db390dc6f4439af5ac85ee983cde880e6d688e801d7e9ebc942546849409de6b9ea74013a" \
  "8e142ad8cd61e067709161c4396c6992899e5dca805be65200d09897efeb17f4beb82cebcbf121248b08165d63f0a135" \
  "b85acd6be8fa782c81574d304bbd991ebfa6c36282df6be2d49b22ee62927137e9128fc74ff2e09b2a405ded64b8e63f" \
  "498dc0ef2368e83f91a6dd649b19a450"

#define FORGED_A                                                                                     \
  "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000" \
  "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000" \
  "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000" \
  "00000000000000000000000000000000000000000000000000000032cbfd4a7adc7905583d75edab851cd700a52e579c" \
  "7368819aa2c8856d23fdbe233049b52d2e662387c9698e14959da2c274afa01d37976300dae5cc30e65221a0920f920d" \
  "0e91df8f8358f3b65536a1cd9b2d5154"

#define NO_NULL_B                                                                                    \
  "5b9dfe2d988dbe94c4a5509b4340f1c87fdb542613fc71c8a5334b4f869d3d56d147b90924f7f2462ccc095d26df4b81" \
  "83cb46af96c4ab9a065c0f2f057eb40cff8e89591937c5c9290f76932815a65f628f3aa55dcc23f225068fefc2a11775" \
  "3b06508a5701db0fb568e25d2dffa6be2202fd51ffac617661d2419c8636ac15"
